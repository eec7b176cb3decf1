//! Compares what drivers say, and what brokers have, with what has to be.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use ksem::error::Code;
use ksem_testkit::{Isolation, Observed, ReadRecord, load};
use serde_json::{Value, json};

use super::cell::Cell;
use super::scenario::{Expect, Times};
use super::step::Reply;
use super::value::{Substitute, decode, difference};

/// The version of the protocol.
const PROTOCOL: u64 = 1;

/// The driver is that of the language, and of this version of ksem.
pub(super) fn hello(hello: &Value, language: &str) -> Result<()> {
    let expected = json!({ "language": language, "version": env!("CARGO_PKG_VERSION"), "protocol": PROTOCOL });
    contains("hello", &expected, hello)
}

/// `expected` is in `found`.
pub(super) fn contains(what: &str, expected: &Value, found: &Value) -> Result<()> {
    match difference(expected, found) {
        None => Ok(()),
        Some(difference) => bail!("the {what}: {difference}; all of it: {found}"),
    }
}

/// The row of the core's table, as drivers have to say it.
fn row(code: Code) -> Value {
    let (class, retry, outcome) = (code.class().name(), code.retry().name(), code.outcome().name());
    json!({ "code": code.name(), "number": code.number(), "class": class, "retry": retry, "outcome": outcome })
}

/// An error has the expected code, and says of it what the core's table says.
pub(super) fn error(error: &Value, expected: &Reply, names: &Substitute) -> Result<()> {
    let name = error["code"].as_str().unwrap_or_default();
    let wanted = expected.error.as_deref().unwrap_or_default();
    ensure!(wanted.split('|').any(|code| code == name), "the error is not {wanted} but {error}");
    let code = Code::ALL.iter().find(|code| code.name() == name);
    let mut row = row(*code.with_context(|| format!("the core has no error {name}"))?);
    if let Some(outcome) = &expected.outcome {
        row["outcome"] = json!(outcome);
    }
    contains("error", &row, error)?;
    let message = error["message"].as_str().context("an error has a message")?;
    for text in &expected.says {
        let text = names.text(text);
        ensure!(message.contains(&text), "the message does not say {text:?}: {error}");
    }
    match (&expected.thrown, error["thrown"].as_str()) {
        (Some(expected), Some(thrown)) if thrown == expected => Ok(()),
        (Some(expected), _) => bail!("the handler's own {expected:?} did not come back: {error}"),
        (None, _) => Ok(()),
    }
}

/// The layer has every code of the core's, and no other.
pub(super) fn error_table(result: &Value) -> Result<()> {
    let found = result["errors"].as_array().context("a list of errors")?;
    let by_number = |list: Vec<Value>| -> BTreeMap<u64, Value> {
        list.into_iter().map(|row| (row["number"].as_u64().unwrap_or_default(), row)).collect()
    };
    let ours = by_number(Code::ALL.iter().map(|code| row(*code)).collect());
    let theirs = by_number(found.clone());
    for (number, row) in &ours {
        contains("error table", row, theirs.get(number).with_context(|| format!("no error {row}"))?)?;
    }
    match theirs.iter().find(|(number, _)| !ours.contains_key(number)) {
        Some((_, row)) => bail!("the core has no error {row}"),
        None => Ok(()),
    }
}

/// The offsets of a report.
pub(super) fn offsets(report: &Value) -> Result<BTreeMap<(String, i32), i64>> {
    let list = report["offsets"].as_array().context("a report has a list of offsets")?;
    let entry = |entry: &Value| {
        let (topic, partition, offset) = (entry[0].as_str()?, entry[1].as_i64()?, entry[2].as_i64()?);
        Some(((topic.to_owned(), partition as i32), offset))
    };
    list.iter()
        .map(|e| entry(e).with_context(|| format!("an offset is topic, partition, offset, unlike {e}")))
        .collect()
}

/// The columns of a batch are those of the records in the broker's log.
pub(super) fn columns(batch: &Value, log: &[ReadRecord], topic: &str) -> Result<()> {
    let count = batch["records"].as_u64().context("how many records")? as usize;
    let column = |name: &str| -> Result<&Vec<Value>> {
        let column = batch[name].as_array().with_context(|| format!("no column `{name}`"))?;
        ensure!(column.len() == count, "{} entries in `{name}`, {count} records", column.len());
        Ok(column)
    };
    let (topics, partitions, offsets) = (column("topics")?, column("partitions")?, column("offsets")?);
    let (timestamps, keys, values) = (column("timestamps")?, column("keys")?, column("values")?);
    let all_headers = column("headers")?;
    for index in 0..count {
        ensure!(topics[index] == topic, "record {index} is said to be of topic {}", topics[index]);
        let place = (partitions[index].as_i64(), offsets[index].as_i64());
        let found = log.iter().find(|record| place == (Some(i64::from(record.partition)), Some(record.offset)));
        let record = found.with_context(|| format!("the log has nothing at {place:?}"))?;
        ensure!(timestamps[index].as_i64() == Some(record.timestamp), "another timestamp at {place:?}");
        ensure!(decode(&keys[index])? == record.key, "another key at {place:?}: {}", keys[index]);
        ensure!(decode(&values[index])? == record.value, "another value at {place:?}");
        let headers = all_headers[index].as_array().context("headers are a list")?;
        let header = |header: &Value| {
            let name = header[0].as_str().context("a header has a name")?;
            Ok((name.to_owned(), decode(&header[1])?))
        };
        let headers: Vec<_> = headers.iter().map(header).collect::<Result<_>>()?;
        ensure!(headers == record.headers, "other headers at {place:?}: {headers:?}, not {:?}", record.headers);
    }
    Ok(())
}

/// What the outputs have at the end.
pub(super) fn outputs(cell: &Cell<'_>) -> Result<()> {
    for expect in &cell.scenario.expect {
        output(cell, expect).with_context(|| format!("at the end, topic `{}`", expect.topic))?;
    }
    Ok(())
}

fn output(cell: &Cell<'_>, expect: &Expect) -> Result<()> {
    let topic = cell.names.text(&format!("${}", expect.topic));
    cell.stage.wait_until_stable(&topic)?;
    let everything = cell.stage.read(&topic, Isolation::ReadUncommitted)?;
    let committed = cell.stage.read(&topic, Isolation::ReadCommitted)?;
    if let Some(count) = expect.count {
        ensure!(committed.len() == count, "{} records, expected {count}", committed.len());
    }
    match expect.is {
        Times::Never => ensure!(everything.is_empty(), "{} records, where there should be none", everything.len()),
        Times::Anything => {}
        Times::NeverCommitted => ensure!(committed.is_empty(), "{} records are visible", committed.len()),
        Times::SameRecords | Times::SamePlaces => {
            let input = cell.stage.read(&cell.names.text("$in"), Isolation::ReadCommitted)?;
            let with_place = expect.is == Times::SamePlaces;
            let (input, output) = (comparable(input, with_place), comparable(committed, with_place));
            ensure!(input == output, "the records differ: {}", first_difference(&input, &output));
        }
        _ => audit(cell, expect, &everything, &committed)?,
    }
    Ok(())
}

fn audit(cell: &Cell<'_>, expect: &Expect, everything: &[ReadRecord], committed: &[ReadRecord]) -> Result<()> {
    let ids = |records: &[ReadRecord]| -> Result<Vec<u64>> {
        let id = |record: &ReadRecord| {
            let id = record.value.as_deref().and_then(load::value_id);
            id.with_context(|| format!("a record at offset {} that was never in the input", record.offset))
        };
        records.iter().map(id).collect()
    };
    let read = ids(committed)?;
    let (first, end) = expect.ids.unwrap_or((0, cell.filled));
    let audit = Observed::expecting(first..end).committed(read.clone()).uncommitted(ids(everything)?).audit();
    let promised = match expect.is {
        Times::ExactlyOnce | Times::ExactlyOnceAnyOrder => audit.is_exactly_once(),
        Times::AtLeastOnce => audit.is_at_least_once(),
        _ => audit.is_at_most_once(),
    };
    ensure!(promised, "not {:?}: {audit}", expect.is);
    if let Some(missing) = expect.missing {
        ensure!(audit.missing.count == missing, "{missing} had to be missing: {audit}");
    }
    if let Some(repeated) = expect.repeated {
        ensure!(audit.repeated.count == repeated, "{repeated} had to be repeated: {audit}");
    }
    if let Some(most) = expect.repeated_at_most {
        ensure!(audit.repeated.count <= most, "at most {most} may be repeated: {audit}");
    }
    let topics = cell.scenario.topics();
    if topics["in"] == 1 && topics[&expect.topic] == 1 && is_in_order(expect.is) {
        ensure!(read.is_sorted(), "the records are not in the order of the input");
    }
    Ok(())
}

/// What is repeated, or written by two processes, may come in another order.
fn is_in_order(times: Times) -> bool {
    matches!(times, Times::ExactlyOnce | Times::AtMostOnce)
}

type Comparable = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64, i32);

fn comparable(records: Vec<ReadRecord>, with_place: bool) -> Vec<Comparable> {
    let place = |partition| if with_place { partition } else { 0 };
    let mut list: Vec<_> =
        records.into_iter().map(|r| (r.key, r.value, r.headers, r.timestamp, place(r.partition))).collect();
    list.sort();
    list
}

fn first_difference(input: &[Comparable], output: &[Comparable]) -> String {
    let short = |record: Option<&Comparable>| {
        let text = record.map_or("nothing".to_owned(), |record| format!("{record:?}"));
        text.chars().take(300).collect::<String>()
    };
    let at = input.iter().zip(output).take_while(|(a, b)| a == b).count();
    format!(
        "{} in, {} out; sorted, the first other one is {} instead of {}",
        input.len(),
        output.len(),
        short(output.get(at)),
        short(input.get(at))
    )
}
