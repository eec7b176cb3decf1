//! Fills a topic with numbered records, fast.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use krafka::Record;
use krafka::producer::Acks;

use crate::client;
use crate::reader::ReadRecord;

/// Digits of an id at the start of a value.
const DIGITS: usize = 20;
/// Records that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 20_000;

/// Writes one record for each id, to partition `id % partitions`. The key is the id; the value is the id with leading
/// zeros, filled up to `size` bytes. [`value_id`] and [`key_id`] read them. Returns how many were written.
///
/// # Errors
///
/// When a record could not be written. Those before it may have been.
pub fn produce_ids(
    bootstrap: &str,
    topic: &str,
    ids: impl IntoIterator<Item = u64, IntoIter: Send>,
    size: usize,
    partitions: u32,
) -> Result<u64> {
    ensure!(size >= DIGITS, "a value needs at least {DIGITS} bytes for its id");
    ensure!(partitions > 0, "there is no partition to write to");
    let records = ids.into_iter().map(move |id| (id, (id % u64::from(partitions)) as i32));
    produce(bootstrap, topic, records, |id| value(id, size))
}

/// Writes one record for each id, to the partition beside it. The key is the id, and `value` makes the value of it.
/// Returns how many were written.
///
/// # Errors
///
/// When a record could not be written. Those before it may have been.
pub fn produce(
    bootstrap: &str,
    topic: &str,
    records: impl IntoIterator<Item = (u64, i32), IntoIter: Send>,
    value: impl Fn(u64) -> Vec<u8> + Sync,
) -> Result<u64> {
    let records = records.into_iter();
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        let producer = kafka
            .producer()
            .acks(Acks::All)
            .linger(Duration::from_millis(5))
            .batch_size(256 << 10)
            .buffer_memory(128 << 20)
            .build()
            .await?;
        let mut waiting = Vec::with_capacity(IN_FLIGHT);
        let mut written = 0;
        for (id, partition) in records {
            let record = Record::new(topic, value(id)).key(id.to_string()).partition(partition);
            waiting.push(producer.enqueue(record).await?);
            written += 1;
            if waiting.len() == IN_FLIGHT {
                // Half of them stay in flight, so that the connection never runs dry.
                for delivery in waiting.drain(..IN_FLIGHT / 2) {
                    let _ = delivery.await.context("a record was not written")?;
                }
            }
        }
        for delivery in waiting {
            let _ = delivery.await.context("a record was not written")?;
        }
        producer.close().await?;
        Ok(written)
    })
}

/// Writes these records, in this order, to their partitions. The offsets and the topic are not looked at.
///
/// # Errors
///
/// When a record could not be written. Those before it may have been.
pub fn produce_records(bootstrap: &str, topic: &str, records: &[ReadRecord]) -> Result<()> {
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        let producer = kafka.producer().acks(Acks::All).max_request_size(64 << 20).build().await?;
        for record in records {
            let mut sent = Record::new(topic, record.value.clone().unwrap_or_default()).partition(record.partition);
            if record.value.is_none() {
                sent = sent.without_value();
            }
            if let Some(key) = &record.key {
                sent = sent.key(key.clone());
            }
            for (name, value) in &record.headers {
                sent = match value {
                    Some(value) => sent.header(name, value.clone()),
                    None => sent.null_header(name),
                };
            }
            // One after the other, so that their order is certain.
            let _ = producer.send(sent.timestamp(record.timestamp)).await.context("a record was not written")?;
        }
        producer.close().await?;
        Ok(())
    })
}

/// The value of a record: its id in 20 digits, then `x` up to `size` bytes.
pub fn value(id: u64, size: usize) -> Vec<u8> {
    let mut value = format!("{id:0DIGITS$}").into_bytes();
    value.resize(size.max(DIGITS), b'x');
    value
}

/// The id at the start of a value that [`value`] made; `None` for any other.
pub fn value_id(value: &[u8]) -> Option<u64> {
    key_id(value.get(..DIGITS)?)
}

/// What [`tagged`] wrote behind the id.
pub fn value_tag(value: &[u8]) -> Option<u64> {
    key_id(value.get(DIGITS..2 * DIGITS)?)
}

/// A value that [`value`] made, of the same length if it is long enough, with a tag behind its id.
pub fn tagged(value: &[u8], tag: u64) -> Vec<u8> {
    let mut tagged = value.get(..DIGITS).unwrap_or(value).to_vec();
    tagged.extend(format!("{tag:0DIGITS$}").bytes());
    tagged.extend(value.get(2 * DIGITS..).unwrap_or_default());
    tagged
}

/// The id that is a whole key.
pub fn key_id(key: &[u8]) -> Option<u64> {
    std::str::from_utf8(key).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive() {
        for id in [0, 7, u64::MAX] {
            assert_eq!(value_id(&value(id, 200)), Some(id));
            assert_eq!(value(id, 200).len(), 200);
            assert_eq!(key_id(id.to_string().as_bytes()), Some(id));
        }
        let tagged = tagged(&value(7, 200), 12);
        assert_eq!((value_id(&tagged), value_tag(&tagged), tagged.len()), (Some(7), Some(12), 200));
        assert_eq!(value_tag(&value(7, 200)), None);
        assert_eq!(value_id(b"too short"), None);
        assert_eq!(value_id(&[b'x'; 30]), None);
    }
}
