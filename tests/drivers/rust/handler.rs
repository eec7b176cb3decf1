//! Handlers that are data.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ksem::{Batch, HandlerResult, Output, OutputRecord};
use serde_json::{Value, json};

use crate::{Driver, forms};

/// The handler's own error.
#[derive(Debug)]
pub(crate) struct Thrown(pub(crate) String);

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Thrown {}

/// The steps of one request's handler.
pub(crate) struct Script {
    driver: Arc<Driver>,
    id: Value,
    steps: Vec<Value>,
    calls: AtomicU64,
}

impl Script {
    pub(crate) fn of(driver: Arc<Driver>, request: &Value) -> Result<Self, String> {
        let steps = request["handler"].as_array().cloned().ok_or("`handler` is no list")?;
        Ok(Self { driver, id: request["id"].clone(), steps, calls: AtomicU64::new(0) })
    }

    pub(crate) fn call(&self, batch: &Batch, output: &mut Output) -> HandlerResult {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        for step in self.steps.iter().filter(|step| applies(step, call, batch)) {
            self.take(step, call, batch, output)?;
        }
        Ok(())
    }

    fn take(&self, step: &Value, call: u64, batch: &Batch, output: &mut Output) -> HandlerResult {
        let text = |name: &str| step[name].as_str().unwrap_or_default();
        match text("step") {
            "forward" => (0..batch.len()).for_each(|index| output.forward(text("topic"), index)),
            "copy" => copy(batch, text("topic"), step["partition"] == "same", output),
            "copy_columns" => batch.records().for_each(|record| output.send(text("topic"), record.key, record.value)),
            "send" => {
                for _ in 0..step["times"].as_u64().unwrap_or(1) {
                    forms::send(&json!([step["record"]]), output)?;
                }
            }
            "sleep" => thread::sleep(Duration::from_millis(step["ms"].as_u64().unwrap_or(0))),
            "pause" => {
                let at = text("at");
                let event = json!({ "event": "paused", "at": at, "id": self.id, "call": call, "records": batch.len() });
                self.driver.pause(&event, at);
            }
            "verdict" => verdict(step, batch, output),
            "fail" => return Err(Thrown(text("text").to_owned()).into()),
            "panic" => panic!("{}", text("text")),
            other => return Err(format!("no step `{other}`").into()),
        }
        Ok(())
    }
}

fn applies(step: &Value, call: u64, batch: &Batch) -> bool {
    let in_call = step["calls"].as_array().is_none_or(|calls| calls.contains(&json!(call)));
    let value = forms::bytes(&step["value"]);
    in_call && value.is_none_or(|value| batch.records().any(|record| record.value == Some(&value[..])))
}

fn verdict(step: &Value, batch: &Batch, output: &mut Output) {
    let value = forms::bytes(&step["value"]);
    for (index, _) in batch.records().enumerate().filter(|(_, record)| record.value == value.as_deref()) {
        match step["verdict"].as_str().unwrap_or_default() {
            "retry" => output.retry(index),
            "dead_letter" => output.dead_letter(index, step["reason"].as_str().unwrap_or_default()),
            _ => output.skip(index),
        }
    }
}

fn copy(batch: &Batch, topic: &str, same_partition: bool, output: &mut Output) {
    for record in batch.records() {
        let sent = OutputRecord {
            key: record.key,
            value: record.value,
            headers: &record.headers(),
            partition: same_partition.then_some(record.partition),
            timestamp: record.timestamp,
        };
        output.send_record(topic, &sent);
    }
}
