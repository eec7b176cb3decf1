//! `OffsetFetch` that asks for stable offsets (KIP-447).
//!
//! A member that takes over a partition must not start from an offset while a transaction that will move it is
//! still open. The broker behind the front keeps such offsets aside, but answers with the old ones; a broker of
//! Kafka answers `UNSTABLE_OFFSET_COMMIT`, and the client asks again.

use krafka::testing::{ClusterState, TxnStatus};

use super::wire::{Frame, Header, Malformed, Reader};

/// The one version that has `require_stable` and is advertised.
pub(super) const VERSION: i16 = 7;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;

struct Request<'a> {
    group: &'a str,
    topics: Vec<(&'a str, Vec<i32>)>,
    /// The topics were null: everything that the group has.
    all: bool,
    require_stable: bool,
}

impl<'a> Request<'a> {
    fn read(mut body: Reader<'a>) -> Result<Self, Malformed> {
        body.skip_tagged_fields()?;
        let group = body.compact_string()?;
        let count = body.varint()?;
        let mut topics = Vec::new();
        for _ in 1..count {
            let name = body.compact_string()?;
            let mut partitions = Vec::new();
            for _ in 1..body.varint()? {
                partitions.push(body.i32()?);
            }
            body.skip_tagged_fields()?;
            topics.push((name, partitions));
        }
        Ok(Self { group, topics, all: count == 0, require_stable: body.i8()? != 0 })
    }
}

/// The refusal, if a requested offset is about to be moved by an open transaction. `None` lets the broker answer.
pub(super) fn refusal(
    state: &ClusterState,
    header: &Header<'_>,
    body: Reader<'_>,
) -> Result<Option<Vec<u8>>, Malformed> {
    let request = Request::read(body)?;
    if !request.require_stable {
        return Ok(None);
    }
    let pending: Vec<(&str, i32)> = state
        .transactions
        .values()
        .filter(|txn| matches!(txn.status, TxnStatus::Ongoing | TxnStatus::PrepareCommit | TxnStatus::PrepareAbort))
        .filter_map(|txn| txn.staged_offsets.get(request.group))
        .flat_map(|offsets| offsets.keys())
        .map(|(topic, partition)| (topic.as_str(), *partition))
        .collect();
    let asked = |topic: &str, partition: i32| {
        request.all || request.topics.iter().any(|(name, list)| *name == topic && list.contains(&partition))
    };
    if !pending.iter().any(|(topic, partition)| asked(topic, *partition)) {
        return Ok(None);
    }
    // Every partition is refused, not only the pending ones: the client asks again for all of them anyway.
    let topics = if request.all {
        pending.iter().map(|(topic, partition)| (*topic, vec![*partition])).collect()
    } else {
        request.topics
    };
    let mut frame = Frame::new();
    frame.i32(header.correlation_id).varint(0).i32(0).varint(topics.len() as u32 + 1);
    for (name, partitions) in &topics {
        frame.compact_string(name).varint(partitions.len() as u32 + 1);
        for partition in partitions {
            frame.i32(*partition).i64(-1).i32(-1).varint(0).i16(UNSTABLE_OFFSET_COMMIT).varint(0);
        }
        frame.varint(0);
    }
    frame.i16(0).varint(0);
    Ok(Some(frame.finish()))
}
