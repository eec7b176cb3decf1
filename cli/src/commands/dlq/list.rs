//! `ksem dlq list` and `ksem dlq show`.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

use ksem::Record;
use ksem::dead_letter as headers;
use serde::Serialize;

use super::filter::Filter;
use super::letter::{Kind, Letter, parse_place};
use super::{Source, read};
use crate::commands::connection::Connection;
use crate::exit::{Done, Failure};
use crate::json::InputLine;
use crate::signals;

/// Arguments of `ksem dlq list`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ksem dlq list invoicing-dead --since 1d\n  ksem dlq list invoicing-dead --from orders --json\n  \
    ksem dlq list --config pipeline.toml --key order-17\n\n\
    A line has: partition:offset, where the record came from, the error's code, attempts, times replayed before,\n\
    \"replayed\" or \"-\", and the error."
)]
pub(super) struct ListArgs {
    #[command(flatten)]
    source: Source,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `ksem dlq show`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ksem dlq show invoicing-dead 0:17\n  ksem dlq show 0:17 --config pipeline.toml")]
pub(super) struct ShowArgs {
    /// The dead-letter topic, unless --config names it, and then PARTITION:OFFSET as `ksem dlq list` prints it
    #[arg(required = true, num_args = 1..=2, value_name = "TOPIC PARTITION:OFFSET")]
    what: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What `--json` prints for each.
#[derive(Serialize)]
struct Line {
    partition: i32,
    offset: i64,
    topic: String,
    topic_partition: Option<i64>,
    topic_offset: Option<i64>,
    group: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    attempts: Option<i64>,
    first_failure: Option<i64>,
    last_failure: Option<i64>,
    replays: u32,
    replayed: bool,
}

impl Line {
    fn new(record: &Record<'_>, letter: &Letter<'_>) -> Self {
        let text = |name| letter.text(name).map(str::to_owned);
        Self {
            partition: record.partition,
            offset: record.offset,
            topic: letter.topic().to_owned(),
            topic_partition: letter.number(headers::PARTITION),
            topic_offset: letter.number(headers::OFFSET),
            group: text(headers::GROUP),
            error_code: text(headers::ERROR_CODE),
            error_message: text(headers::ERROR_MESSAGE),
            attempts: letter.number(headers::ATTEMPTS),
            first_failure: letter.number(headers::FIRST_FAILURE),
            last_failure: letter.number(headers::LAST_FAILURE),
            replays: letter.replays(),
            replayed: false,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let text = |text: &Option<String>| text.as_deref().unwrap_or("-").replace(char::is_control, " ");
        writeln!(
            out,
            "{}:{}\t{}[{}] {}\t{}\t{}\t{}\t{}\t{}",
            self.partition,
            self.offset,
            self.topic,
            self.topic_partition.unwrap_or(-1),
            self.topic_offset.unwrap_or(-1),
            text(&self.error_code),
            self.attempts.unwrap_or(0),
            self.replays,
            if self.replayed { "replayed" } else { "-" },
            text(&self.error_message),
        )
    }
}

pub(super) fn list(args: &ListArgs) -> Done {
    let (config, topic) = args.source.open(&args.connection)?;
    let stop = signals::stop_flag()?;
    // A receipt comes behind its dead letter, so all is read before anything is printed.
    let (mut lines, mut replayed) = (Vec::new(), HashSet::new());
    read(&config, &topic, &stop, |record| {
        match Letter::kind(record) {
            Kind::Receipt(partition, offset) => drop(replayed.insert((partition, offset))),
            Kind::Letter(letter) if args.filter.matches(record, &letter) => lines.push(Line::new(record, &letter)),
            Kind::Letter(_) | Kind::Other => {}
        }
        Ok(true)
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    let most = args.filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    for mut line in lines.into_iter().take(most) {
        line.replayed = replayed.contains(&(line.partition, line.offset));
        if args.json {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            line.write(&mut out)?;
        }
    }
    Ok(out.flush()?)
}

pub(super) fn show(args: &ShowArgs) -> Done {
    let (place, topic) = match args.what.as_slice() {
        [place] => (place, None),
        [topic, place] => (place, Some(topic.clone())),
        _ => return Err(Failure::usage("give PARTITION:OFFSET, with the topic in front of it")),
    };
    let form = || Failure::usage(format!("`{place}` is not PARTITION:OFFSET, such as 0:17"));
    let wanted = parse_place(place).ok_or_else(form)?;
    let (config, topic) = Source { topic }.open(&args.connection)?;
    let stop = signals::stop_flag()?;
    let mut found = None;
    read(&config, &topic, &stop, |record| {
        let is_it = (record.partition, record.offset) == wanted;
        if is_it {
            let text = serde_json::to_string_pretty(&InputLine::new(record));
            found = Some(text.map_err(|error| Failure::internal(error.to_string()))?);
        }
        Ok(!is_it)
    })?;
    println!("{}", found.ok_or_else(|| Failure::usage(format!("{topic} has no record at {place}")))?);
    Ok(())
}
