//! `ksem dlq replay`: sends dead letters again, each once.
//!
//! What was replayed is written down in the dead-letter topic itself: for each dead letter a receipt, in the transaction
//! that sends the record. A replay first takes over the `transactional.id` of the topic's replays, which aborts what a
//! killed one left open and fences one that still runs. Then it reads every receipt, up to an end behind which no
//! transaction is open, and skips what has one.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::{Duration, Instant};

use ksem::dead_letter as headers;
use ksem::{Config, Header, Output, OutputRecord, Record, TransactionWriter};

use super::filter::Filter;
use super::letter::{Kind, Letter};
use super::{Source, read};
use crate::commands::connection::{Connection, quiet, topic_name};
use crate::exit::Done;
use crate::progress::Progress;
use crate::signals;

/// Arguments of `ksem dlq replay`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ksem dlq replay invoicing-dead --dry-run\n  ksem dlq replay invoicing-dead --error handler_failed --since 2h\n  \
    ksem dlq replay invoicing-dead --limit 1                     try one first\n  \
    ksem dlq replay --config pipeline.toml --to orders-repaired  into another topic\n\n\
    The record is sent as it was: key, value, headers, timestamp; the key chooses the partition. The header\n\
    ksem.dlq.replays counts how often. Run one replay of a topic at a time: a newer one ends an older one."
)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Send them to this topic instead of the one that each came from
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    to: Option<String>,
    /// Only print what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Most records a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Leave a record alone that was replayed so often and died again
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    max_replays: u32,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
}

/// Most records in a transaction, and the longest that one is filled.
const CHUNK: u64 = 500;
const OPEN: Duration = Duration::from_secs(1);

/// What became of those that are meant.
#[derive(Default)]
struct Counts {
    sent: u64,
    already: u64,
    looping: u64,
    without_payload: u64,
}

pub(super) fn run(args: &Args) -> Done {
    let (config, topic) = args.source.open(&args.connection)?;
    let stop = signals::stop_flag()?;
    let mut sender = if args.dry_run { None } else { Some(Sender::open(&config, &topic, args.rate)?) };
    let mut replayed = HashSet::new();
    read(&config, &topic, &stop, |record| {
        if let Kind::Receipt(partition, offset) = Letter::kind(record) {
            replayed.insert((partition, offset));
        }
        Ok(true)
    })?;
    let mut counts = Counts::default();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut progress = Progress::start(quiet() || args.dry_run, "replay");
    read(&config, &topic, &stop, |record| {
        let Kind::Letter(letter) = Letter::kind(record) else { return Ok(true) };
        if !args.filter.matches(record, &letter) {
            return Ok(true);
        }
        if replayed.contains(&(record.partition, record.offset)) {
            counts.already += 1;
        } else if letter.replays() >= args.max_replays {
            counts.looping += 1;
        } else if !letter.is_whole() {
            counts.without_payload += 1;
        } else {
            let to = args.to.as_deref().unwrap_or_else(|| letter.topic());
            match &mut sender {
                Some(sender) => sender.send(record, &letter, to)?,
                None => writeln!(out, "{}:{}\t{to}", record.partition, record.offset)?,
            }
            counts.sent += 1;
            progress.show(counts.sent, "");
        }
        Ok(args.filter.limit.is_none_or(|limit| counts.sent < limit))
    })?;
    if let Some(sender) = &mut sender {
        sender.commit()?;
    }
    progress.finish();
    out.flush()?;
    if !quiet() {
        counts.tell(args.dry_run);
    }
    Ok(())
}

impl Counts {
    fn tell(&self, dry_run: bool) {
        let what = if dry_run { "would be replayed" } else { "replayed" };
        eprint!("{} dead letters {what}", self.sent);
        for (count, why) in [
            (self.already, "replayed before"),
            (self.looping, "that died again as often as --max-replays allows"),
            (self.without_payload, "without payload (`dead_letter.payload` was off)"),
        ] {
            if count > 0 {
                eprint!(", {count} skipped: {why}");
            }
        }
        eprintln!();
    }
}

/// Sends records with their receipts, in transactions.
struct Sender<'a> {
    writer: TransactionWriter,
    topic: &'a str,
    output: Output,
    /// In the open transaction, and since when.
    open: u64,
    since: Instant,
    rate: Option<u32>,
    started: Instant,
    sent: u64,
}

impl<'a> Sender<'a> {
    fn open(config: &Config, topic: &'a str, rate: Option<u32>) -> Done<Self> {
        let writer = TransactionWriter::open(config.clone(), format!("ksem-dlq-replay-{topic}"))?;
        let (output, now) = (Output::default(), Instant::now());
        Ok(Self { writer, topic, output, open: 0, since: now, rate, started: now, sent: 0 })
    }

    fn send(&mut self, record: &Record<'_>, letter: &Letter<'_>, to: &str) -> Done {
        self.pace()?;
        if self.open == 0 {
            self.since = Instant::now();
        }
        let replays = (letter.replays() + 1).to_string();
        let mut kept: Vec<Header<'_>> = letter.own().collect();
        kept.push((headers::REPLAYS, Some(replays.as_bytes())));
        self.output.send_record(
            to,
            &OutputRecord {
                key: record.key,
                value: record.value,
                headers: &kept,
                partition: None,
                timestamp: letter.number(headers::TIMESTAMP),
            },
        );
        let place = format!("{}:{}", record.partition, record.offset);
        let receipt = [(headers::REPLAYED, Some(place.as_bytes()))];
        // In the dead letter's own partition, so that it is behind it.
        let receipt = OutputRecord { headers: &receipt, partition: Some(record.partition), ..OutputRecord::default() };
        self.output.send_record(self.topic, &receipt);
        self.open += 1;
        self.sent += 1;
        if self.open >= CHUNK || self.since.elapsed() >= OPEN {
            self.commit()?;
        }
        Ok(())
    }

    /// Waits for the next record's time. Nothing stays open meanwhile.
    fn pace(&mut self) -> Done {
        let Some(rate) = self.rate else { return Ok(()) };
        let due = self.started + Duration::from_secs_f64(self.sent as f64 / f64::from(rate));
        let wait = due.saturating_duration_since(Instant::now());
        if wait > Duration::from_millis(100) {
            self.commit()?;
        }
        thread::sleep(wait);
        Ok(())
    }

    fn commit(&mut self) -> Done {
        if self.open > 0 {
            self.writer.send(&self.output)?;
            self.writer.commit()?;
            self.output.clear();
            self.open = 0;
        }
        Ok(())
    }
}
