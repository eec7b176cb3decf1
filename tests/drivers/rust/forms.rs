//! The protocol's forms of ksem's values.

use std::error::Error as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ksem::error::{Code, Outcome};
use ksem::{Batch, Error, Header, Output, OutputRecord, Report};
use serde_json::{Value, json};

use crate::handler::Thrown;

pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok())
}

fn encoded(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| json!(BASE64_STANDARD.encode(bytes)))
}

/// Sends each record of a list.
pub(crate) fn send(records: &Value, output: &mut Output) -> Result<(), String> {
    for record in records.as_array().ok_or("`records` is no list")? {
        let (key, mut value) = (bytes(&record["key"]), bytes(&record["value"]));
        if let Some(size) = record["fill"].as_u64() {
            value = Some(vec![b'x'; size as usize]);
        }
        let headers: Vec<(&str, Option<Vec<u8>>)> = record["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|header| (header[0].as_str().unwrap_or_default(), bytes(&header[1])))
            .collect();
        let headers: Vec<Header<'_>> = headers.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let sent = OutputRecord {
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
            partition: record["partition"].as_i64().map(|partition| partition as i32),
            timestamp: record["timestamp"].as_i64(),
        };
        output.send_record(record["topic"].as_str().ok_or("`topic` is no text")?, &sent);
    }
    Ok(())
}

/// Adds the columns of a batch.
pub(crate) fn columns(batch: &Batch, to: &mut Value) {
    let headers = |list: Vec<Header<'_>>| -> Value {
        list.into_iter().map(|(name, value)| json!([name, encoded(value)])).collect()
    };
    to["topics"] = batch.records().map(|record| json!(record.topic)).collect();
    to["partitions"] = batch.records().map(|record| json!(record.partition)).collect();
    to["offsets"] = batch.records().map(|record| json!(record.offset)).collect();
    to["timestamps"] = batch.records().map(|record| json!(record.timestamp)).collect();
    to["keys"] = batch.records().map(|record| encoded(record.key)).collect();
    to["values"] = batch.records().map(|record| encoded(record.value)).collect();
    to["headers"] = batch.records().map(|record| headers(record.headers())).collect();
}

pub(crate) fn report(report: &Report) -> Value {
    let offsets = report.offsets.iter().map(|(source, at)| json!([&*source.topic, source.partition, at.offset]));
    json!({
        "applied": report.applied.name(),
        "guarantee": report.guarantee.name(),
        "records": report.records,
        "outputs": report.outputs,
        "dead_lettered": report.dead_lettered,
        "skipped": report.skipped,
        "retried": report.retried,
        "attempts": report.attempts,
        "offsets": offsets.collect::<Vec<_>>(),
        "cause": report.cause,
    })
}

fn row(code: Code, outcome: Outcome) -> Value {
    json!({ "code": code.name(), "number": code.number(), "class": code.class().name(), "retry": code.retry().name(), "outcome": outcome.name() })
}

pub(crate) fn error_table() -> Value {
    json!({ "errors": Code::ALL.iter().map(|code| row(*code, code.outcome())).collect::<Vec<_>>() })
}

pub(crate) fn error(error: &Error) -> Value {
    let mut row = row(error.code(), error.outcome());
    row["message"] = json!(error.message());
    // The handler's own error is at the end of the chain of sources.
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(thrown) = cause.downcast_ref::<Thrown>() {
            row["thrown"] = json!(thrown.0);
        }
        source = cause.source();
    }
    row
}
