//! `ksem dlq`: list, show and replay dead letters.

mod filter;
mod letter;
mod list;
mod replay;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Subcommand;
use ksem::{Config, Isolation, Record, Seen, Tail, TailOptions};

use super::connection::{Connection, topic_name};
use crate::exit::{Done, Failure};

/// Arguments of `ksem dlq`.
#[derive(clap::Args)]
#[command(
    about = "List, show and replay dead letters",
    after_help = "Examples:\n  ksem dlq list invoicing-dead                                  what is there, newest last\n  \
    ksem dlq list --config pipeline.toml --error handler_failed   of this pipeline's topic, by error\n  \
    ksem dlq show invoicing-dead 0:17                             everything about one\n  \
    ksem dlq replay invoicing-dead --dry-run                      what would be sent, and where to\n  \
    ksem dlq replay invoicing-dead --since 2h --rate 100          send the last two hours' again\n\n\
    A replay sends each dead letter to the topic that it came from, once: in the same transaction a receipt is\n\
    written to the dead-letter topic, so a replay that was killed, or is run again, skips what was sent."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print one line for each dead letter
    List(list::ListArgs),
    /// Print everything about one dead letter
    Show(list::ShowArgs),
    /// Send dead letters again, each once
    Replay(replay::Args),
}

/// Which topic, and how to get there. Flattened last.
#[derive(clap::Args)]
struct Source {
    /// The dead-letter topic [default: `dead_letter.topic` of --config]
    #[arg(value_parser = topic_name)]
    topic: Option<String>,
}

impl Source {
    /// Returns the configuration and the topic.
    fn open(&self, connection: &Connection) -> Done<(Config, String)> {
        let config = connection.config(|_| {})?;
        let topic = self.topic.clone().or_else(|| config.dead_letter.topic.clone());
        let missing = "which topic? name it, or give --config FILE with `dead_letter.topic`";
        Ok((config, topic.ok_or_else(|| Failure::usage(missing))?))
    }
}

pub(crate) fn run(args: &Args) -> Done {
    match &args.command {
        Command::List(args) => list::list(args),
        Command::Show(args) => list::show(args),
        Command::Replay(args) => replay::run(args),
    }
}

/// Reads the topic up to the end that it has now, transactions that are open there included: they are waited for.
/// `each` returns whether to go on.
fn read(config: &Config, topic: &str, stop: &AtomicBool, mut each: impl FnMut(&Record<'_>) -> Done<bool>) -> Done {
    let options = TailOptions {
        isolation: Isolation::ReadCommitted,
        from_beginning: true,
        until_end: true,
        ..TailOptions::default()
    };
    let mut tail = Tail::open(config, topic, &options)?;
    while !stop.load(Ordering::SeqCst) {
        let mut goes_on = Ok(true);
        if tail.next(Duration::from_millis(100), |record| goes_on = each(record))? == Seen::End || !goes_on? {
            break;
        }
    }
    Ok(())
}
