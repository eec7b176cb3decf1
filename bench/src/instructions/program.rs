//! The program whose instructions are counted: it copies records, and each stage of the hot path is a function of its
//! own, which callgrind finds by its name. Nothing of it is counted but those.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ksem::{Batch, Config, Guarantee, Output, Pipeline};

use super::{BATCH, BATCHES, FORWARDED, INPUT, SENT};
use crate::settings::configuration;

/// The subcommand that runs it.
pub(crate) const SUBCOMMAND: &str = "hot-path";

/// Under valgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// After the first batch: what the others take over is fetched meanwhile, by librdkafka's own threads.
const HEAD_START: Duration = Duration::from_secs(2);

/// Copies all batches.
pub(crate) fn serve(bootstrap: &str, guarantee: Guarantee) -> Result<()> {
    let group = format!("hot-path-{guarantee}");
    // A batch closes on records only, and one lane has all of them.
    let fields = [
        ("batch.max_records", BATCH.to_string()),
        ("batch.linger_ms", "30000".to_owned()),
        ("transactions.lanes", "1".to_owned()),
        ("kafka.queued.min.messages", "100000".to_owned()),
    ];
    let fields = fields.map(|(field, value)| (field.to_owned(), value));
    let text = configuration(bootstrap, &group, &[INPUT.to_owned()], guarantee, &fields);
    let pipeline = Pipeline::open(Config::from_toml_str(&text, "the program's settings")?)?;
    let mut columns = Columns::default();
    for number in 0..BATCHES {
        let batch = stage_collect(&pipeline)?;
        ensure!(batch.len() == BATCH, "a batch has {} records instead of {BATCH}", batch.len());
        let report = pipeline.process(batch, guarantee, |batch, out| {
            if number == 0 {
                thread::sleep(HEAD_START);
            }
            stage_read(batch);
            stage_columns(batch, &mut columns);
            if number % 2 == 0 {
                stage_forward(batch, out, FORWARDED);
            } else {
                stage_send(batch, out, SENT);
            }
            Ok(())
        })?;
        ensure!(
            report.attempts == 1 && report.outputs == BATCH as u64,
            "batch {number} was not simply copied: {report:?}"
        );
    }
    pipeline.close()?;
    Ok(())
}

/// From librdkafka's queue to a batch.
#[inline(never)]
fn stage_collect(pipeline: &Pipeline) -> Result<Batch> {
    let batch = pipeline.poll(PATIENCE)?;
    batch.context("no batch came in time")
}

/// A handler that looks at every record in turn.
#[inline(never)]
fn stage_read(batch: &Batch) {
    let size = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let mut sum = 0;
    for record in batch.records() {
        sum += size(record.key) + size(record.value) + record.offset as usize + record.timestamp.unwrap_or(0) as usize;
    }
    black_box(sum);
}

/// The records of a batch, as a layer for another language hands them over.
#[derive(Default)]
struct Columns {
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: Vec<(usize, usize)>,
    values: Vec<(usize, usize)>,
}

/// A handler that takes records by their number, column by column.
#[inline(never)]
fn stage_columns(batch: &Batch, columns: &mut Columns) {
    let place = |bytes: Option<&[u8]>| bytes.map_or((0, 0), |bytes| (bytes.as_ptr() as usize, bytes.len()));
    let all = || (0..batch.len()).map(|index| batch.record(index));
    columns.offsets.clear();
    columns.offsets.extend(all().map(|record| record.offset));
    columns.timestamps.clear();
    columns.timestamps.extend(all().map(|record| record.timestamp.unwrap_or(-1)));
    columns.keys.clear();
    columns.keys.extend(all().map(|record| place(record.key)));
    columns.values.clear();
    columns.values.extend(all().map(|record| place(record.value)));
    black_box(columns);
}

/// A handler that passes every record on.
#[inline(never)]
fn stage_forward(batch: &Batch, out: &mut Output, topic: &str) {
    for index in 0..batch.len() {
        out.forward(topic, index);
    }
}

/// A handler that sends a record of its own for every record.
#[inline(never)]
fn stage_send(batch: &Batch, out: &mut Output, topic: &str) {
    for record in batch.records() {
        out.send(topic, record.key, record.value);
    }
}
