//! What a scenario does: requests to drivers, and what the runner does itself.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Table;

use super::value::Substitute;

/// One step: a table with one entry, whose name is a verb.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub enum Step {
    /// A request to a driver.
    Ask {
        /// A verb of the protocol.
        verb: String,
        /// Its arguments, and what has to come back.
        ask: Box<Ask>,
    },
    /// What the runner does.
    Do(Do),
}

/// The verbs of `tests/PROTOCOL.md`.
const VERBS: &[&str] = &[
    "hello",
    "errors",
    "open",
    "poll",
    "drop",
    "process",
    "run",
    "begin",
    "send",
    "forward",
    "commit",
    "abort",
    "publish",
    "stop",
    "close",
    "metrics",
    "broker",
    "broker_stop",
    "resume",
    "exit",
];

/// A request: which driver, the arguments, what has to come back.
#[derive(Clone, Debug, Deserialize)]
pub struct Ask {
    /// The driver process; it is started when it is first named.
    #[serde(default = "a")]
    pub to: String,
    /// Don't wait for the reply: a `reply` step of that name does.
    pub later: Option<String>,
    /// How long the reply may take.
    pub within_ms: Option<u64>,
    /// What has to come back.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What a reply has to be, and the arguments, which share a table in the files.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Reply {
    /// The code of the error that has to come; several with `|` between them.
    pub error: Option<String>,
    /// What the error says about the batch, if not what its code usually means.
    pub outcome: Option<String>,
    /// What its message has to contain.
    #[serde(default)]
    pub says: Vec<String>,
    /// The handler's own exception has to come back with this text.
    pub thrown: Option<String>,
    /// What has to be in the result.
    #[serde(default)]
    pub ok: Table,
    /// What has to be in the report.
    #[serde(default)]
    pub report: Table,
    /// The arguments.
    #[serde(flatten)]
    pub arguments: Table,
}

fn a() -> String {
    "a".into()
}

/// What the runner does itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Do {
    /// Writes more numbered records to `in`, up to this id.
    Fill(u64),
    /// Writes these records to `in`, with a producer that is not ksem's.
    Put(Vec<Table>),
    /// Waits for the reply that was put off under this name.
    Reply {
        /// Its name.
        of: String,
        /// How long it may take from now.
        within_ms: Option<u64>,
        /// What it has to be.
        #[serde(default)]
        is: Reply,
    },
    /// Waits until a handler stands at this pause.
    Paused {
        /// The pause's name.
        at: String,
        /// The driver.
        #[serde(default = "a")]
        of: String,
    },
    /// Ends a driver as `kill -9` does.
    Kill(String),
    /// Freezes a driver.
    Freeze(String),
    /// Ends that.
    Thaw(String),
    /// Closes the standard input of a driver, which then has to end with status 0.
    End(String),
    /// Holds a frame of a driver at the proxy.
    Hold {
        /// Kafka's name of the request.
        api: String,
        /// Its answer, not itself.
        #[serde(default)]
        response: bool,
        /// So many of them pass first.
        #[serde(default)]
        skip: u32,
        /// The driver.
        #[serde(default = "a")]
        of: String,
    },
    /// Waits until the proxy has it.
    Held {},
    /// Throws the held frame away and closes its connection.
    Cut {},
    /// Lets the held frame go on.
    Pass {},
    /// Waits.
    SleepMs(u64),
    /// Waits until the group has committed at least so much of `in`, over all partitions.
    WaitCommitted(i64),
    /// Waits until so many records of a topic are visible to readers of committed records.
    WaitVisible {
        /// The topic.
        topic: String,
        /// How many.
        count: usize,
    },
    /// The group has committed exactly so much of `in` now, over all partitions.
    Committed(i64),
    /// Exactly so many records of a topic are visible now to readers of committed records.
    Visible {
        /// The topic.
        topic: String,
        /// How many.
        count: usize,
    },
    /// Moves the start of partition 0 of `in` up to this offset.
    DeleteBefore(i64),
    /// Lets a new driver do what is left: open, run until everything is committed, stop, close.
    Finish {
        /// What differs from the scenario's configuration.
        #[serde(default)]
        config: Table,
    },
    /// Writes a file that `$file` stands for, with these bytes.
    File(String),
}

impl TryFrom<Table> for Step {
    type Error = anyhow::Error;

    fn try_from(table: Table) -> Result<Self> {
        let mut entries = table.iter();
        let (Some((verb, value)), None) = (entries.next(), entries.next()) else {
            bail!("a step is a table with one entry, unlike {table}");
        };
        if VERBS.contains(&verb.as_str()) {
            let ask: Ask = value.clone().try_into().with_context(|| format!("in `{verb}`"))?;
            ask.check(verb)?;
            return Ok(Self::Ask { verb: verb.clone(), ask: Box::new(ask) });
        }
        let runner: Do = table.clone().try_into().with_context(|| format!("`{verb}` is no verb of a driver's"))?;
        if let Do::Reply { is, .. } = &runner
            && let Some(name) = is.arguments.keys().next()
        {
            bail!("a reply has no `{name}`");
        }
        Ok(Self::Do(runner))
    }
}

impl Step {
    /// Whether it can fail a scenario by what a reply or a broker says.
    pub fn asserts(&self) -> bool {
        match self {
            Self::Ask { verb, ask } => ask.reply.asserts() || matches!(verb.as_str(), "hello" | "errors"),
            Self::Do(Do::Reply { is, .. }) => is.asserts(),
            Self::Do(step) => matches!(step, Do::Committed(_) | Do::Visible { .. } | Do::End(_)),
        }
    }
}

impl Reply {
    fn asserts(&self) -> bool {
        self.error.is_some() || !self.ok.is_empty() || !self.report.is_empty()
    }
}

/// The arguments that a verb takes, besides those that it always has.
fn arguments(verb: &str) -> &'static [&'static str] {
    match verb {
        "open" => &["pipe", "config", "config_text", "config_file"],
        "poll" => &["pipe", "batch", "timeout_ms", "columns"],
        "drop" => &["batch"],
        "process" => &["pipe", "batch", "guarantee", "handler"],
        "run" => &["pipe", "handler"],
        "begin" => &["pipe", "batch", "guarantee", "attempt"],
        "send" => &["attempt", "records"],
        "forward" => &["attempt", "topic"],
        "commit" => &["attempt"],
        "abort" => &["attempt", "reason"],
        "publish" => &["pipe", "guarantee", "records"],
        "stop" | "close" | "metrics" => &["pipe"],
        "broker" => &["broker", "topics"],
        "broker_stop" => &["broker"],
        "resume" => &["at"],
        _ => &[],
    }
}

impl Ask {
    fn check(&self, verb: &str) -> Result<()> {
        let known = arguments(verb);
        match self.reply.arguments.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => bail!("`{verb}` takes no `{name}`"),
            None => Ok(()),
        }
    }

    /// The request, without its number. `usual` is what an absent argument stands for.
    pub(super) fn request(&self, verb: &str, guarantee: &str, config: &Value, names: &Substitute) -> Result<Value> {
        let mut request = Map::from_iter([("do".to_owned(), json!(verb))]);
        let given = &self.reply.arguments;
        for name in arguments(verb) {
            let value = match (given.get(*name), *name) {
                (Some(value), "handler") => names.handler(value)?,
                (Some(value), "records") => names.records(value)?,
                (Some(value), "config") => names.merged(config, value)?,
                (Some(value), _) => names.value(value)?,
                (None, "config") if given.contains_key("config_text") || given.contains_key("config_file") => continue,
                (None, "config") => config.clone(),
                (None, "pipe") => json!("p"),
                (None, "batch") => json!("b"),
                (None, "attempt") => json!("t"),
                (None, "broker") => json!("own"),
                (None, "guarantee") => json!(guarantee),
                (None, "timeout_ms") => json!(10_000),
                (None, "reason") => json!("the scenario says so"),
                (None, "topic") => json!(names.text("$out")),
                (None, "handler") => json!([{ "step": "forward", "topic": names.text("$out") }]),
                (None, _) => continue,
            };
            request.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(request))
    }
}
