//! `ksem consume`: print the records of a topic.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ksem::{Record, Seen, Tail, TailOptions};

use super::connection::{Connection, quiet, topic_name};
use crate::exit::{Done, Failure};
use crate::json::InputLine;
use crate::progress::Progress;
use crate::signals;

/// Arguments of `ksem consume`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ksem consume orders                                       print what comes from now on\n  \
    ksem consume orders --from-beginning --until-end --json   print everything that is there, and end\n  \
    ksem consume orders --from-beginning --max 10 --key       print ten records with their keys\n  \
    ksem consume orders --isolation read_uncommitted          see aborted and unfinished transactions too\n\n\
    It joins no consumer group and commits nothing. A null prints as nothing; --json tells it from an\n\
    empty text, and writes what is not UTF-8 as key_base64 and value_base64."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Args {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: String,
    /// Which records of transactions are seen
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
    /// Start at the first record instead of the end
    #[arg(long)]
    from_beginning: bool,
    /// End at the ends that the partitions have at the start
    #[arg(long)]
    until_end: bool,
    /// End after N records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// End when nothing came for N milliseconds
    #[arg(long, value_name = "N")]
    timeout_ms: Option<u64>,
    /// Read only this partition
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Print the key and a tab before each value
    #[arg(long)]
    key: bool,
    /// Print one JSON object a line: topic, partition, offset, timestamp, key, value, headers
    #[arg(long, conflicts_with = "key")]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Isolation {
    /// Those of committed transactions
    #[default]
    #[value(name = "read_committed")]
    Committed,
    /// Those of open and aborted transactions too
    #[value(name = "read_uncommitted")]
    Uncommitted,
}

/// How long a stop may go unnoticed while nothing comes.
const IDLE: Duration = Duration::from_millis(100);
/// The clock of --timeout-ms starts with the first answer, and no later than this.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &Args) -> Done {
    let config = args.connection.config(|_| {})?;
    let options = TailOptions {
        isolation: match args.isolation {
            Isolation::Committed => ksem::Isolation::ReadCommitted,
            Isolation::Uncommitted => ksem::Isolation::ReadUncommitted,
        },
        from_beginning: args.from_beginning,
        until_end: args.until_end,
        partition: args.partition,
    };
    let stop = signals::stop_flag()?;
    let tail = Tail::open(&config, &args.topic, &options)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    // The records themselves are progress enough to look at.
    let mut progress = Progress::start(quiet() || io::stdout().is_terminal(), "consume");
    let result = print(args, tail, &mut out, &stop, &mut progress);
    progress.finish();
    let flushed = out.flush().map_err(Failure::from);
    result.and(flushed)
}

fn print(args: &Args, mut tail: Tail, out: &mut impl Write, stop: &AtomicBool, progress: &mut Progress) -> Done {
    let terminal = io::stdout().is_terminal();
    let mut clock = Instant::now() + FIRST_ANSWER;
    let (mut records, mut wait) = (0, Duration::ZERO);
    while !stop.load(Ordering::SeqCst) && args.max.is_none_or(|max| records < max) {
        let mut written = Ok(());
        match tail.next(wait, |record| written = write(args, out, record))? {
            Seen::Record => {
                written?;
                records += 1;
                clock = Instant::now();
                wait = Duration::ZERO;
                if terminal {
                    out.flush()?;
                }
                if records % 1_000 == 0 {
                    progress.show(records, "");
                }
            }
            Seen::Answered => clock = clock.min(Instant::now()),
            Seen::Quiet => {
                // Whoever reads a pipe gets everything before a pause.
                out.flush()?;
                let limit = args.timeout_ms.map(Duration::from_millis);
                if limit.is_some_and(|limit| Instant::now().saturating_duration_since(clock) >= limit) {
                    break;
                }
                wait = limit.map_or(IDLE, |limit| IDLE.min(limit.max(Duration::from_millis(1))));
                progress.show(records, "");
            }
            Seen::End => break,
        }
    }
    Ok(())
}

fn write(args: &Args, out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, &InputLine::new(record))?;
    } else {
        if args.key {
            out.write_all(record.key.unwrap_or_default())?;
            out.write_all(b"\t")?;
        }
        out.write_all(record.value.unwrap_or_default())?;
    }
    out.write_all(b"\n")
}
