//! `ksem produce`: send standard input to a topic, one record a line.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Read, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::builder::NonEmptyStringValueParser;
use ksem::error::Code;
use ksem::{Admin, Config, Error, Guarantee, Output, Publisher, TransactionWriter};

use super::connection::{Connection, quiet, topic_name};
use crate::exit::{Done, Failure};
use crate::json::OutputLine;
use crate::progress::Progress;
use crate::signals;

/// Arguments of `ksem produce`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  echo 'hello' | ksem produce orders\n  \
    ksem produce orders --key-separator : < orders.txt            lines such as order-1:12.50\n  \
    ksem produce orders --json --guarantee exactly_once < orders.jsonl\n  \
    ksem consume a --from-beginning --until-end --json | ksem produce b --json --retarget\n\n\
    A line of --json has any of key, value, headers, topic, partition, timestamp; key_base64 and\n\
    value_base64 for what is not UTF-8. A missing or null value is a tombstone:\n  \
    {\"key\":\"order-1\",\"value\":\"12.50\",\"headers\":[{\"name\":\"source\",\"value\":\"web\"}]}\n\n\
    Under exactly_once, everything is one transaction: a bad line, Ctrl-C or an error aborts all of it.")]
#[expect(clippy::doc_markdown, reason = "clap prints these texts as they are")]
pub(crate) struct Args {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: String,
    /// What precedes this text in a line is the key (\t is a tab)
    #[arg(long, value_name = "S", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "json")]
    key_separator: Option<String>,
    /// Each line is a JSON object rather than a value
    #[arg(long)]
    json: bool,
    /// Send every record to TOPIC by its key, whatever topic and partition its JSON line names
    #[arg(long, requires = "json")]
    retarget: bool,
    /// at_most_once, at_least_once or exactly_once
    #[arg(short, long, value_name = "G", default_value_t = Guarantee::AtLeastOnce)]
    guarantee: Guarantee,
    /// Under exactly_once, commit after every N records rather than once at the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records_per_transaction: Option<u64>,
    /// Under exactly_once, the cluster aborts a transaction that is open for longer [default: 60000]
    #[arg(long, value_name = "N")]
    transaction_timeout_ms: Option<u64>,
    /// Under exactly_once, a name that is the same after a restart: what a killed run left open is aborted
    /// at once, and not only by its timeout. Two runs at a time need two names [default: a new one]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    transactional_id: Option<String>,
    /// Print one JSON object at the end: {"topic", "guarantee", "records"}
    #[arg(long)]
    summary_json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A batch is sent at this size,
const BATCH_RECORDS: usize = 10_000;
const BATCH_BYTES: usize = 16 << 20;
/// when the input pauses, so that typed lines are sent soon,
const PAUSE: Duration = Duration::from_millis(100);
/// or at this age, where the input only ever trickles.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// librdkafka's largest `message.max.bytes`: a longer line is no record.
const LONGEST_LINE: usize = 1_000_000_000;

pub(crate) fn run(args: &Args) -> Done {
    let exactly_once = args.guarantee == Guarantee::ExactlyOnce;
    let needs = [
        ("--records-per-transaction", args.records_per_transaction.is_some()),
        ("--transaction-timeout-ms", args.transaction_timeout_ms.is_some()),
        ("--transactional-id", args.transactional_id.is_some()),
    ];
    if let Some((option, _)) = needs.iter().find(|(_, given)| *given && !exactly_once) {
        return Err(Failure::usage(format!("{option} needs --guarantee exactly_once")));
    }
    let config = args.connection.config(|config| {
        config.guarantee = args.guarantee;
        if let Some(timeout_ms) = args.transaction_timeout_ms {
            config.transactions.timeout_ms = timeout_ms;
        }
    })?;
    let stop = signals::stop_flag()?;
    let mut run = Run::open(args, config)?;
    let (to, input) = sync_channel(16);
    thread::Builder::new().name("stdin".into()).spawn(move || read(&to))?;
    if io::stdin().is_terminal() && !quiet() {
        eprintln!("one record a line; Ctrl-D ends");
    }
    // A spinner would run through the text that somebody types.
    let mut progress = Progress::start(quiet() || io::stdin().is_terminal(), "produce");
    let result = run.all(&input, &stop, &mut progress);
    progress.finish();
    result?;
    if args.summary_json {
        let summary =
            serde_json::json!({ "topic": args.topic, "guarantee": args.guarantee.name(), "records": run.acknowledged });
        writeln!(io::stdout(), "{summary}")?;
    } else if !quiet() {
        eprintln!("{} {}", records(run.acknowledged), if exactly_once { "committed" } else { "acknowledged" });
    }
    Ok(())
}

/// Blocks rather than lines: a channel's cost is paid once for many records. The end of the channel
/// is the end of the input.
fn read(to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut block = vec![0; 1 << 16];
        let block = match stdin.read(&mut block) {
            Ok(0) => return,
            Ok(len) => {
                block.truncate(len);
                Ok(block)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = block.is_err();
        if to.send(block).is_err() || last {
            return;
        }
    }
}

enum Sender {
    Plain(Box<Publisher>),
    Transactions(Box<TransactionWriter>),
}

/// The state of one `ksem produce`.
struct Run<'a> {
    args: &'a Args,
    separator: Option<Vec<u8>>,
    admin: Admin,
    sender: Sender,
    /// The topics that are known to exist.
    topics: HashSet<String>,
    output: Output,
    bytes: usize,
    oldest: Instant,
    line: u64,
    /// Records that have their effect.
    acknowledged: u64,
    /// Records that were sent in the open transaction.
    uncommitted: u64,
}

impl<'a> Run<'a> {
    fn open(args: &'a Args, config: Config) -> Done<Self> {
        let admin = Admin::connect(&config)?;
        admin.ensure_output(&args.topic)?;
        let sender = if args.guarantee == Guarantee::ExactlyOnce {
            let id = args.transactional_id.clone().unwrap_or_else(own_id);
            Sender::Transactions(Box::new(TransactionWriter::open(config, id)?))
        } else {
            Sender::Plain(Box::new(Publisher::new(config, "")))
        };
        let separator = args.key_separator.as_ref().map(|text| text.replace("\\t", "\t").into_bytes());
        Ok(Self {
            args,
            separator,
            admin,
            sender,
            topics: HashSet::from([args.topic.clone()]),
            output: Output::default(),
            bytes: 0,
            oldest: Instant::now(),
            line: 0,
            acknowledged: 0,
            uncommitted: 0,
        })
    }

    fn all(&mut self, input: &Receiver<io::Result<Vec<u8>>>, stop: &AtomicBool, progress: &mut Progress) -> Done {
        let mut lines = Lines::default();
        while !stop.load(Ordering::SeqCst) {
            match input.recv_timeout(PAUSE) {
                Ok(Ok(block)) => {
                    lines.feed(&block, |line| self.take(line))?;
                    if lines.rest().len() > LONGEST_LINE {
                        self.line += 1;
                        let text = format!("line {} is longer than {LONGEST_LINE} bytes", self.line);
                        return Err(self.give_up(Error::new(Code::RecordInvalid, text)));
                    }
                    if self.oldest.elapsed() >= BATCH_AGE {
                        self.send()?;
                    }
                }
                Ok(Err(error)) => {
                    let error = Error::new(Code::Misuse, format!("standard input can't be read: {error}"));
                    return Err(self.give_up(error));
                }
                Err(RecvTimeoutError::Timeout) => self.send()?,
                Err(RecvTimeoutError::Disconnected) => {
                    // The last line need not end with a newline.
                    if !lines.rest().is_empty() {
                        self.take(lines.rest())?;
                    }
                    break;
                }
            }
            progress.show(self.acknowledged + self.uncommitted, "");
        }
        if stop.load(Ordering::SeqCst) && self.args.guarantee == Guarantee::ExactlyOnce {
            let became = self.settle();
            return Err(Failure::Own { status: 130, message: format!("interrupted: {became}") });
        }
        self.send()?;
        self.commit()
    }

    /// Takes one line of the input.
    fn take(&mut self, line: &[u8]) -> Done {
        self.line += 1;
        if self.output.is_empty() {
            self.oldest = Instant::now();
        }
        if let Err(error) = self.parse(line) {
            return Err(self.give_up(error));
        }
        self.bytes += line.len();
        let in_transaction = self.uncommitted + self.output.len() as u64;
        let full = self.args.records_per_transaction.is_some_and(|limit| in_transaction >= limit);
        if full || self.output.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
            self.send()?;
        }
        if full { self.commit() } else { Ok(()) }
    }

    fn parse(&mut self, line: &[u8]) -> Result<(), Error> {
        let number = self.line;
        let bad = |reason: &str| Error::new(Code::RecordInvalid, format!("line {number}: {reason}"));
        if self.args.json {
            if line.trim_ascii().is_empty() {
                return Ok(());
            }
            let mut record: OutputLine = serde_json::from_slice(line).map_err(|error| {
                let text = error.to_string();
                // The JSON's own line is always 1.
                let reason = text.split(" at line ").next().unwrap_or_default();
                bad(&format!("not a record as JSON: {reason} (column {})", error.column()))
            })?;
            let named = record.topic.take().filter(|_| !self.args.retarget);
            let topic = named.unwrap_or_else(|| self.args.topic.clone());
            let mut record = record.decode().map_err(|reason| bad(&reason))?;
            if self.args.retarget {
                record = record.by_key();
            }
            if !self.topics.contains(&topic) {
                topic_name(&topic).map_err(|reason| bad(&reason))?;
                self.admin.ensure_output(&topic).map_err(|error| error.with("line", number))?;
                self.topics.insert(topic.clone());
            }
            record.send(&topic, &mut self.output);
            return Ok(());
        }
        let (key, value) = match &self.separator {
            None => (None, line),
            Some(separator) => {
                let at = line.windows(separator.len()).position(|window| window == separator);
                let at = at.ok_or_else(|| bad("there is no --key-separator in it"))?;
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        self.output.send(&self.args.topic, key, Some(value));
        Ok(())
    }

    /// Sends what has been read and waits for the acknowledgements.
    fn send(&mut self) -> Done {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = match &mut self.sender {
            Sender::Plain(publisher) => {
                publisher.publish(&self.output, self.args.guarantee).map(|records| self.acknowledged += records)
            }
            Sender::Transactions(writer) => {
                writer.send(&self.output).map(|()| self.uncommitted += self.output.len() as u64)
            }
        };
        self.output.clear();
        self.bytes = 0;
        result.map_err(|error| self.with_count(error))
    }

    fn commit(&mut self) -> Done {
        let Sender::Transactions(writer) = &mut self.sender else { return Ok(()) };
        let result = writer.commit();
        self.uncommitted = 0;
        self.acknowledged += result.map_err(|error| self.with_count(error))?;
        Ok(())
    }

    /// An error of the cluster says what became of everything before the batch that it hit.
    fn with_count(&self, error: Error) -> Failure {
        error.with("acknowledged before", self.acknowledged).into()
    }

    /// Ends because of the input, and says what became of the lines before.
    fn give_up(&mut self, error: Error) -> Failure {
        if matches!(self.sender, Sender::Plain(_))
            && let Err(failure) = self.send()
        {
            return failure;
        }
        let became = self.settle();
        error.with("before it", became).into()
    }

    /// Aborts an open transaction and says what became of everything.
    fn settle(&mut self) -> String {
        let done = records(self.acknowledged);
        let Sender::Transactions(writer) = &mut self.sender else { return format!("sent {done}") };
        let open = records(self.uncommitted + self.output.len() as u64);
        match writer.abort() {
            Ok(_) => format!("committed {done}, and aborted the transaction with {open} more"),
            Err(error) => format!(
                "committed {done}; the cluster aborts the transaction with {open} more when its time is over: {error}"
            ),
        }
    }
}

fn records(count: u64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

fn own_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("ksem-produce-{}-{:x}", process::id(), now.as_nanos())
}

/// Lines in blocks.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Calls `each` with every line that is complete, without its newline.
    fn feed(&mut self, block: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
        // What was kept has no newline, so only the new block is searched.
        let mut searched = self.0.len();
        self.0.extend_from_slice(block);
        let mut start = 0;
        while let Some(len) = self.0[searched..].iter().position(|byte| *byte == b'\n') {
            each(&self.0[start..searched + len])?;
            searched += len + 1;
            start = searched;
        }
        self.0.drain(..start);
        Ok(())
    }

    /// The line that has not ended yet.
    fn rest(&self) -> &[u8] {
        &self.0
    }
}
