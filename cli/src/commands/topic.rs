//! `ksem topic`: create, list, describe and delete topics.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use ksem::error::Code;
use ksem::{Admin, Error, TopicInfo};
use serde_json::json;

use super::connection::{Connection, topic_name};
use crate::exit::{Done, Failure};

/// Arguments of `ksem topic`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ksem topic create orders --partitions 4\n  ksem topic list\n  \
    ksem topic describe orders --json\n  ksem topic delete orders --yes")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Create a topic
    Create(Create),
    /// List the topics
    List(List),
    /// Show the partitions of a topic, with their leaders and ends
    Describe(Describe),
    /// Delete a topic with all its records
    Delete(Delete),
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ksem topic create orders --partitions 4 --if-not-exists\n  \
    ksem topic create audit --replication 3 --topic-config min.insync.replicas=2 --topic-config retention.ms=604800000")]
struct Create {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    name: String,
    /// How many partitions it gets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How many brokers have a copy; the cluster's default if left out
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(i32).range(1..))]
    replication: Option<i32>,
    /// A setting of the topic, such as cleanup.policy=compact; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    topic_config: Vec<(String, String)>,
    /// Leave a topic that exists as it is, and end with success
    #[arg(long)]
    if_not_exists: bool,
    /// Print one JSON object: {"name", "created"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  ksem topic list --bootstrap broker-1:9092")]
struct List {
    /// Print one JSON object: {"topics": [{"name", "partitions", "replication"}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  ksem topic describe orders\n\n\
    END is where a reader of committed records ends: the records of open transactions come after it.")]
#[expect(clippy::doc_markdown, reason = "clap prints these texts as they are")]
struct Describe {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    name: String,
    /// Print one JSON object: {"name", "partitions": [{"partition", "leader", "replicas", "in_sync",
    /// "first_offset", "end_offset"}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ksem topic delete orders\n  ksem topic delete orders --yes --if-exists")]
struct Delete {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// End with success where there is no such topic
    #[arg(long)]
    if_exists: bool,
    /// Print one JSON object: {"name", "deleted"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

pub(crate) fn run(args: &Args) -> Done {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::Describe(args) => describe(args),
        Command::Delete(args) => delete(args),
    }
}

fn connect(connection: &Connection) -> Done<Admin> {
    Ok(Admin::connect(&connection.config(|_| {})?)?)
}

fn create(args: &Create) -> Done {
    let admin = connect(&args.connection)?;
    let name = &args.name;
    let created = admin.topic(name)?.is_none() && {
        let settings: BTreeMap<_, _> = args.topic_config.iter().cloned().collect();
        match admin.create_topic(name, args.partitions, args.replication, &settings) {
            Ok(()) => true,
            // Somebody else was faster.
            Err(_) if admin.topic(name)?.is_some() => false,
            Err(error) => return Err(error.into()),
        }
    };
    if !created && !args.if_not_exists {
        let text = format!("the topic `{name}` exists already; choose another name, or give --if-not-exists");
        return Err(Error::new(Code::ConfigInvalid, text).into());
    }
    // The command after this one may well use it.
    settle(|| Ok(admin.topic(name)?.is_some_and(|topic| topic.partitions.iter().all(|p| p.leader >= 0))));
    if args.json {
        return say(&json!({ "name": name, "created": created }).to_string());
    }
    let plural = if args.partitions == 1 { "partition" } else { "partitions" };
    say(&if created {
        format!("created {name} with {} {plural}", args.partitions)
    } else {
        format!("{name} exists already")
    })
}

/// Waits until brokers know what the controller has done; it takes them a moment at most.
pub(super) fn settle(done: impl Fn() -> ksem::Result<bool>) {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until && !done().unwrap_or(true) {
        thread::sleep(Duration::from_millis(50));
    }
}

fn list(args: &List) -> Done {
    let topics = connect(&args.connection)?.topics()?;
    let replication = |topic: &TopicInfo| topic.partitions.iter().map(|p| p.replicas.len()).min().unwrap_or(0);
    if args.json {
        let topics: Vec<_> = topics
            .iter()
            .map(|topic| json!({ "name": topic.name, "partitions": topic.partitions.len(), "replication": replication(topic) }))
            .collect();
        return say(&json!({ "topics": topics }).to_string());
    }
    let rows = topics
        .iter()
        .map(|topic| vec![topic.name.clone(), topic.partitions.len().to_string(), replication(topic).to_string()])
        .collect();
    say(&table(&["TOPIC", "PARTITIONS", "REPLICATION"], 1, rows))
}

fn describe(args: &Describe) -> Done {
    let admin = connect(&args.connection)?;
    let topic = admin.topic(&args.name)?.ok_or_else(|| unknown(&args.name, ""))?;
    // Nobody knows the end of a partition without a leader, and asking would only take long.
    let led = topic.partitions.iter().all(|partition| partition.leader >= 0);
    let ends: BTreeMap<_, _> = if led { admin.ends(&args.name)? } else { Vec::new() }
        .into_iter()
        .map(|(partition, first, end)| (partition.partition, (first, end)))
        .collect();
    if args.json {
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| {
                let ends = ends.get(&p.partition);
                json!({
                    "partition": p.partition, "leader": p.leader, "replicas": p.replicas, "in_sync": p.in_sync,
                    "first_offset": ends.map(|(first, _)| first), "end_offset": ends.map(|(_, end)| end),
                })
            })
            .collect();
        return say(&json!({ "name": topic.name, "partitions": partitions }).to_string());
    }
    let or_none = |known: Option<i64>| known.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let rows = topic
        .partitions
        .iter()
        .map(|p| {
            let ends = ends.get(&p.partition);
            vec![
                p.partition.to_string(),
                or_none(Some(p.leader.into()).filter(|leader| *leader >= 0)),
                commas(&p.replicas),
                commas(&p.in_sync),
                or_none(ends.map(|(first, _)| *first)),
                or_none(ends.map(|(_, end)| *end)),
            ]
        })
        .collect();
    say(&table(&["PARTITION", "LEADER", "REPLICAS", "IN-SYNC", "FIRST", "END"], 0, rows))
}

fn commas(brokers: &[i32]) -> String {
    brokers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn delete(args: &Delete) -> Done {
    let name = &args.name;
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !args.yes && !terminal {
        return Err(Failure::usage(format!("deleting `{name}` needs --yes where nobody can be asked")));
    }
    let admin = connect(&args.connection)?;
    let deleted = match admin.topic(name)? {
        None if args.if_exists => false,
        None => return Err(unknown(name, ", or give --if-exists")),
        Some(topic) => {
            if !args.yes && !confirmed(&topic)? {
                return Err(Failure::usage(format!("`{name}` was not deleted")));
            }
            match admin.delete_topic(name) {
                // Somebody else was faster.
                Err(error) if error.code() == Code::TopicUnknown && args.if_exists => false,
                result => result.map(|()| true)?,
            }
        }
    };
    if deleted {
        settle(|| Ok(admin.topic(name)?.is_none()));
    }
    if args.json {
        return say(&json!({ "name": name, "deleted": deleted }).to_string());
    }
    say(&if deleted { format!("deleted {name}") } else { format!("{name} does not exist") })
}

fn confirmed(topic: &TopicInfo) -> Done<bool> {
    eprint!("Delete {} ({} partitions) with all its records? [y/N] ", topic.name, topic.partitions.len());
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

fn unknown(name: &str, hint: &str) -> Failure {
    let text = format!("the topic `{name}` does not exist; `ksem topic list` shows those that do{hint}");
    Error::new(Code::TopicUnknown, text).into()
}

/// Unlike `println!`, which panics, where the reader of a pipe has gone.
pub(super) fn say(text: &str) -> Done {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Aligns columns: the first `left` ones to the left, the numbers after them to the right.
pub(super) fn table(head: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut lines = vec![head.iter().map(|name| (*name).to_owned()).collect()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line: &Vec<String>| line[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cell = |(column, text): (usize, &String)| {
            let width = widths[column];
            if column < left { format!("{text:<width$}") } else { format!("{text:>width$}") }
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
