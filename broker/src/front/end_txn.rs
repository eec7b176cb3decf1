//! `EndTxn` as librdkafka speaks it (versions 0 and 1, the old layout) to the flexible layout that the broker reads, and
//! the reply back.

use super::wire::{Frame, Header, Malformed, Reader};

/// The first flexible version.
const FLEXIBLE: i16 = 3;
/// Versions from here on know `PRODUCER_FENCED`.
const KNOWS_FENCED: i16 = 2;
const PRODUCER_FENCED: i16 = 90;
const INVALID_PRODUCER_EPOCH: i16 = 47;

/// The transactional id that an `EndTxn` of any version ends.
pub(super) fn transactional_id<'a>(header: &Header<'_>, mut body: Reader<'a>) -> Result<&'a str, Malformed> {
    if header.api_version < FLEXIBLE {
        return body.string();
    }
    body.skip_tagged_fields()?;
    body.compact_string()
}

/// The same request at version 3, or `None` if it is flexible already.
pub(super) fn upgrade(header: &Header<'_>, mut body: Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    if header.api_version >= FLEXIBLE {
        return Ok(None);
    }
    let transactional_id = body.string()?;
    let producer_id = body.i64()?;
    let producer_epoch = body.i16()?;
    let committed = body.i8()?;
    let mut frame = Frame::new();
    frame
        .i16(header.api_key)
        .i16(FLEXIBLE)
        .i32(header.correlation_id)
        .nullable_string(header.client_id)
        .varint(0)
        .compact_string(transactional_id)
        .i64(producer_id)
        .i16(producer_epoch)
        .bytes(&committed.to_be_bytes())
        .varint(0);
    Ok(Some(frame.finish()))
}

/// The reply to an upgraded request, at the version that was asked in.
pub(super) fn downgrade(version: i16, reply: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(reply);
    let _length = reader.i32()?;
    let correlation_id = reader.i32()?;
    reader.skip_tagged_fields()?;
    let throttle_ms = reader.i32()?;
    let error = match reader.i16()? {
        PRODUCER_FENCED if version < KNOWS_FENCED => INVALID_PRODUCER_EPOCH,
        error => error,
    };
    let mut frame = Frame::new();
    frame.i32(correlation_id).i32(throttle_ms).i16(error);
    Ok(frame.finish())
}
