//! One cell of the table: a scenario, a language, a broker.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ksem_testkit::Isolation;
use ksem_testkit::proxy::{Api, Fault, Frames, Side};
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use super::driver::{Answer, Driver};
use super::judge;
use super::scenario::Scenario;
use super::stage::Stage;
use super::step::{Ask, Do, Reply, Step};
use super::value::{Substitute, input_record, merge};

/// How long a reply may take if the scenario says nothing else, and everything else that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the proxy may wait for a frame, and a report for being true.
const SOON: Duration = Duration::from_secs(15);
/// How long a driver may take until it says hello.
const START: Duration = Duration::from_secs(20);
/// Between two looks at a broker.
const LOOK: Duration = Duration::from_millis(40);
/// The driver of `finish`.
const FINISHER: &str = "finisher";

/// Why a cell can't run: its language has no way to say what the scenario says.
#[derive(Debug)]
pub struct Cannot(pub String);

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cannot {}

/// A scenario that is being played.
pub(super) struct Cell<'a> {
    pub(super) stage: &'a Stage,
    pub(super) scenario: &'a Scenario,
    language: &'a str,
    command: &'a [String],
    pub(super) names: Substitute,
    pub(super) config: Value,
    folder: TempDir,
    drivers: BTreeMap<String, Driver>,
    pending: HashMap<String, Asked>,
    hold: Option<Fault>,
    /// Numbered records that `in` has.
    pub(super) filled: u64,
    /// Other records that it has.
    pub(super) put: u64,
}

/// A request whose reply is still to come.
struct Asked {
    to: String,
    verb: String,
    number: u64,
    guarantee: Option<String>,
}

/// Plays a scenario with a language's driver, and compares. `number` makes its topics its own.
///
/// # Errors
/// Whatever is not as the scenario says. [`Cannot`] is a reason, not a failure.
pub fn play(stage: &Stage, scenario: &Scenario, language: &str, command: &[String], number: usize) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ksem-conformance-").tempdir()?;
    let mut names = Substitute::default();
    let prefix = format!("c{number}");
    for (name, partitions) in scenario.topics() {
        let topic = format!("{prefix}-{name}");
        stage.create_topic(&topic, partitions, &scenario.topic_config)?;
        names.set(&name, topic);
    }
    names.set("group", format!("{prefix}-group"));
    names.set("bootstrap", stage.bootstrap());
    names.set("folder", folder.path().to_string_lossy());
    let mut config = usual(&names, &scenario.guarantee);
    merge(&mut config, &names.value(&scenario.config.clone().into())?);
    let mut cell = Cell {
        stage,
        scenario,
        language,
        command,
        names,
        config,
        folder,
        drivers: BTreeMap::new(),
        pending: HashMap::new(),
        hold: None,
        filled: 0,
        put: 0,
    };
    if scenario.records > 0 {
        cell.fill(scenario.records)?;
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        let done = match step {
            Step::Ask { verb, ask } => cell.ask(verb, ask),
            Step::Do(step) => cell.perform(step),
        };
        done.with_context(|| format!("step {}, {}", index + 1, short(step)))?;
    }
    cell.conclude()
}

/// One unit in flight and small batches, so that what is under way at any moment is known.
fn usual(names: &Substitute, guarantee: &str) -> Value {
    json!({
        "group": names.text("$group"),
        "inputs": [names.text("$in")],
        "guarantee": guarantee,
        "kafka": {
            "bootstrap.servers": names.text("$bootstrap"),
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        },
        "batch": { "max_records": 100, "linger_ms": 500 },
        "commit": { "max_records": 100 },
        "transactions": {
            "instance_id": "one",
            "lanes": 1,
            "in_flight": 1,
            "timeout_ms": 20_000,
            "state_dir": names.text("$folder/state"),
        },
        "retry": { "backoff_ms": 10, "max_backoff_ms": 50 },
        "shutdown": { "deadline_ms": 10_000 },
    })
}

fn short(step: &Step) -> String {
    let text = match step {
        Step::Ask { verb, ask } => format!("`{verb}` of driver {}", ask.to),
        Step::Do(step) => format!("{step:?}"),
    };
    text.chars().take(80).collect()
}

impl Cell<'_> {
    fn fill(&mut self, to: u64) -> Result<()> {
        let partitions = self.scenario.topics()["in"];
        self.stage.fill(&self.names.text("$in"), self.filled..to, partitions)?;
        self.filled = to;
        Ok(())
    }

    fn driver(&mut self, name: &str) -> Result<&mut Driver> {
        if !self.drivers.contains_key(name) {
            let log = self.folder.path().join(format!("{name}.log"));
            let mut driver = Driver::start(self.command, log)?;
            let hello = driver.ask(&json!({ "do": "hello" }))?;
            match driver.answer(hello, START)? {
                Answer::Ok(hello) => judge::hello(&hello, self.language)?,
                other => bail!("the driver says {other:?} to `hello`"),
            }
            self.drivers.insert(name.to_owned(), driver);
        }
        self.drivers.get_mut(name).context("a driver")
    }

    /// The client name that a driver's connections have at the proxy.
    fn client(&self, driver: &str) -> String {
        self.names.text(&format!("$group-{driver}"))
    }

    fn ask(&mut self, verb: &str, ask: &Ask) -> Result<()> {
        let mut config = self.config.clone();
        config["kafka"]["client.id"] = json!(self.client(&ask.to));
        let request = ask.request(verb, &self.scenario.guarantee, &config, &self.names)?;
        let number = self.driver(&ask.to)?.ask(&request)?;
        let guarantee = request["guarantee"].as_str().map(str::to_owned);
        let asked = Asked { to: ask.to.clone(), verb: verb.to_owned(), number, guarantee };
        match &ask.later {
            Some(later) => drop(self.pending.insert(later.clone(), asked)),
            None => self.reply(&asked, ask.within_ms, &ask.reply)?,
        }
        Ok(())
    }

    fn reply(&mut self, asked: &Asked, within: Option<u64>, expected: &Reply) -> Result<()> {
        let limit = within.map_or(PATIENCE, Duration::from_millis);
        let answer = self.driver(&asked.to)?.answer(asked.number, limit)?;
        match (answer, &expected.error) {
            (Answer::Cannot(why), _) => Err(Cannot(why).into()),
            (Answer::Error(error), Some(_)) => judge::error(&error, expected, &self.names),
            (Answer::Error(error), None) => bail!("it failed: {error}"),
            // An empty alternative allows that it succeeds.
            (Answer::Ok(result), Some(code)) if !code.split('|').any(str::is_empty) => {
                bail!("it succeeded with {result} instead of failing with {code}")
            }
            (Answer::Ok(result), _) => self.judge_result(asked, &result, expected),
        }
    }

    fn judge_result(&mut self, asked: &Asked, result: &Value, expected: &Reply) -> Result<()> {
        let table = |table: &Table| self.names.value(&table.clone().into());
        judge::contains("result", &table(&expected.ok)?, result)?;
        match asked.verb.as_str() {
            "process" | "commit" | "abort" => {
                judge::contains("report", &table(&expected.report)?, result)?;
                if let Some(guarantee) = &asked.guarantee {
                    judge::contains("report", &json!({ "guarantee": guarantee }), result)?;
                }
                self.judge_report(result)
            }
            "errors" => judge::error_table(result),
            "broker" => {
                self.names.set("own", result["bootstrap"].as_str().context("where the broker listens")?);
                Ok(())
            }
            "poll" if result.get("keys").is_some() => {
                let log = self.stage.read(&self.names.text("$in"), Isolation::ReadCommitted)?;
                judge::columns(result, &log, &self.names.text("$in"))
            }
            _ => Ok(()),
        }
    }

    /// What a report says has to be true on the broker.
    fn judge_report(&self, report: &Value) -> Result<()> {
        let applied = report["applied"].as_str().context("a report says what became of the batch")?;
        let offsets = judge::offsets(report)?;
        if applied == "redelivered" {
            ensure!(offsets.is_empty(), "nothing was applied, but the report has offsets: {report}");
            return Ok(());
        }
        ensure!(!offsets.is_empty(), "a batch that is done has offsets: {report}");
        for ((topic, partition), offset) in offsets {
            let is_there = || {
                let committed = self.stage.committed(&self.group(), &topic)?;
                Ok(committed.get(&partition).is_some_and(|at| *at >= offset))
            };
            wait_for(&format!("the report's offset {topic}[{partition}] = {offset} is committed"), SOON, is_there)?;
        }
        Ok(())
    }

    pub(super) fn group(&self) -> String {
        self.config["group"].as_str().unwrap_or_default().to_owned()
    }

    /// How much of `in` is committed, over all partitions.
    pub(super) fn committed(&self) -> Result<i64> {
        Ok(self.stage.committed(&self.group(), &self.names.text("$in"))?.into_values().sum())
    }

    fn visible(&self, topic: &str) -> Result<usize> {
        let topic = self.names.text(&format!("${topic}"));
        Ok(self.stage.read(&topic, Isolation::ReadCommitted)?.len())
    }

    fn perform(&mut self, step: &Do) -> Result<()> {
        match step {
            Do::Fill(to) => self.fill(*to),
            Do::Put(records) => {
                let records: Vec<_> = records.iter().map(input_record).collect::<Result<_>>()?;
                self.put += records.len() as u64;
                self.stage.put(&self.names.text("$in"), &records)
            }
            Do::Reply { of, within_ms, is } => {
                let asked = self.pending.remove(of).with_context(|| format!("no request `{of}`"))?;
                self.reply(&asked, *within_ms, is)
            }
            Do::Paused { at, of } => self.driver(of)?.paused(at, PATIENCE),
            Do::Kill(name) => {
                self.drivers.remove(name).context("no such driver")?.kill()?;
                self.pending.retain(|_, asked| asked.to != *name);
                // What it was about to send was never sent.
                drop(self.hold.take());
                Ok(())
            }
            Do::Freeze(name) => self.driver(name)?.freeze(true),
            Do::Thaw(name) => self.driver(name)?.freeze(false),
            Do::End(name) => self.drivers.remove(name).context("no such driver")?.end(PATIENCE),
            Do::SleepMs(ms) => {
                thread::sleep(Duration::from_millis(*ms));
                Ok(())
            }
            Do::File(text) => {
                let path = self.folder.path().join("file.toml");
                let bytes = self.names.text(text).chars().map(|c| c as u8).collect::<Vec<u8>>();
                fs::write(&path, bytes)?;
                self.names.set("file", path.to_string_lossy());
                Ok(())
            }
            Do::Hold { .. } | Do::Held {} | Do::Cut {} | Do::Pass {} => self.at_the_proxy(step),
            _ => self.look(step),
        }
    }

    fn at_the_proxy(&mut self, step: &Do) -> Result<()> {
        match step {
            Do::Hold { api, response, skip, of } => {
                let api = Api::named(api).with_context(|| format!("the proxy knows no `{api}`"))?;
                let side = if *response { Side::Response } else { Side::Request };
                self.hold = Some(self.stage.proxy.hold(Frames::of(api, side).client(self.client(of)).skip(*skip)));
            }
            Do::Held {} => {
                let hold = self.hold.as_ref().context("nothing was to be held")?;
                ensure!(hold.wait(SOON), "the proxy never had it");
            }
            Do::Cut {} => self.hold.take().context("nothing is held")?.cut(),
            Do::Pass {} => self.hold.take().context("nothing is held")?.pass(),
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, step: &Do) -> Result<()> {
        match step {
            Do::WaitCommitted(least) => {
                wait_for(&format!("{least} records are committed"), PATIENCE, || Ok(self.committed()? >= *least))
            }
            Do::WaitVisible { topic, count } => {
                let what = format!("{count} records of {topic} are visible");
                wait_for(&what, PATIENCE, || Ok(self.visible(topic)? >= *count))
            }
            Do::Committed(expected) => {
                // A transaction's offsets are there when its markers are, a moment after the reply to EndTxn.
                let _ = wait_for("the offsets", SOON, || Ok(self.committed()? >= *expected));
                let committed = self.committed()?;
                ensure!(committed == *expected, "{committed} records are committed, expected {expected}");
                Ok(())
            }
            Do::Visible { topic, count } => {
                let visible = self.visible(topic)?;
                ensure!(visible == *count, "{visible} records of {topic} are visible, expected {count}");
                Ok(())
            }
            Do::DeleteBefore(offset) => self.stage.delete_before(&self.names.text("$in"), 0, *offset),
            Do::Finish { config } => self.finish(config),
            other => bail!("{other:?} has no place here"),
        }
    }

    /// A successor does what is left.
    fn finish(&mut self, changes: &Table) -> Result<()> {
        let mut config = self.names.merged(&self.config, &changes.clone().into())?;
        config["kafka"]["client.id"] = json!(self.client(FINISHER));
        let all = (self.filled + self.put) as i64;
        let handler = json!([{ "step": "forward", "topic": self.names.text("$out") }]);
        let driver = self.driver(FINISHER)?;
        let opened = driver.ask(&json!({ "do": "open", "pipe": "p", "config": config }))?;
        expect_ok(driver.answer(opened, PATIENCE)?, "open")?;
        let run = driver.ask(&json!({ "do": "run", "pipe": "p", "handler": handler }))?;
        wait_for(&format!("the successor has committed {all}"), PATIENCE, || Ok(self.committed()? >= all))?;
        let driver = self.driver(FINISHER)?;
        let stop = driver.ask(&json!({ "do": "stop", "pipe": "p" }))?;
        expect_ok(driver.answer(stop, PATIENCE)?, "stop")?;
        expect_ok(driver.answer(run, PATIENCE)?, "run")?;
        let close = driver.ask(&json!({ "do": "close", "pipe": "p" }))?;
        expect_ok(driver.answer(close, PATIENCE)?, "close")
    }

    /// Ends the drivers, and compares what the broker has with what the scenario says.
    fn conclude(mut self) -> Result<()> {
        drop(self.hold.take());
        ensure!(self.pending.is_empty(), "nobody waited for {:?}", self.pending.keys());
        for (name, mut driver) in std::mem::take(&mut self.drivers) {
            driver.check().and_then(|()| driver.end(PATIENCE)).with_context(|| format!("driver {name}"))?;
        }
        judge::outputs(&self)?;
        let expected = self.scenario.committed.unwrap_or((self.filled + self.put) as i64);
        let committed = self.committed()?;
        ensure!(committed == expected, "at the end {committed} records are committed, expected {expected}");
        Ok(())
    }
}

fn expect_ok(answer: Answer, verb: &str) -> Result<()> {
    match answer {
        Answer::Ok(_) => Ok(()),
        Answer::Cannot(why) => Err(Cannot(why).into()),
        Answer::Error(error) => bail!("the successor's `{verb}` failed: {error}"),
    }
}

fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + limit;
    while !holds()? {
        ensure!(Instant::now() < until, "not within {limit:?}: {what}");
        thread::sleep(LOOK);
    }
    Ok(())
}
