//! Plain types and numbers. The numbers are the core's; a program that is compiled now works with later versions.

use ksem::error::Result;
use ksem::{Applied, Guarantee, Until};

use crate::boundary::misuse;

/// `KSEM_OK`, or the code of an error (`KSEM_CONFIG_INVALID` and so on). What a handler returns, too: 0 or anything else.
pub type ksem_status = i32;
/// The call succeeded.
pub const KSEM_OK: ksem_status = 0;

/// What is promised about each record.
pub type ksem_guarantee = i32;
/// No input record has two committed effects; what is lost is at most what was in flight.
pub const KSEM_AT_MOST_ONCE: ksem_guarantee = 0;
/// Every input record has an effect before its offset is committed.
pub const KSEM_AT_LEAST_ONCE: ksem_guarantee = 1;
/// Outputs and input offsets appear together, once, or not at all.
pub const KSEM_EXACTLY_ONCE: ksem_guarantee = 2;

/// When `ksem_pipeline_run` ends by itself.
pub type ksem_until = i32;
/// When it is stopped.
pub const KSEM_UNTIL_STOPPED: ksem_until = 0;
/// When the group has committed everything that the inputs had at the start.
pub const KSEM_UNTIL_CAUGHT_UP: ksem_until = 1;

/// What became of a batch.
pub type ksem_applied = i32;
/// It took effect and its offsets are committed.
pub const KSEM_APPLIED: ksem_applied = 0;
/// Its offsets are committed and its effect is missing or partial (at-most-once only).
pub const KSEM_LOST: ksem_applied = 1;
/// It was not applied; what still belongs to this member comes again with the next poll.
pub const KSEM_REDELIVERED: ksem_applied = 2;

/// The timestamp of a record that has none.
pub const KSEM_NO_TIMESTAMP: i64 = -1;

pub(crate) fn guarantee(number: ksem_guarantee) -> Result<Guarantee> {
    let found = Guarantee::ALL.into_iter().find(|guarantee| *guarantee as i32 == number);
    found.ok_or_else(|| {
        misuse(format!("{number} is no guarantee; use KSEM_AT_MOST_ONCE, KSEM_AT_LEAST_ONCE or KSEM_EXACTLY_ONCE"))
    })
}

pub(crate) fn until(number: ksem_until) -> Result<Until> {
    match number {
        KSEM_UNTIL_STOPPED => Ok(Until::Stopped),
        KSEM_UNTIL_CAUGHT_UP => Ok(Until::CaughtUp),
        _ => Err(misuse(format!("{number} is no end of a run; use KSEM_UNTIL_STOPPED or KSEM_UNTIL_CAUGHT_UP"))),
    }
}

// The numbers above are the core's.
const _: () = {
    assert!(KSEM_AT_MOST_ONCE == Guarantee::AtMostOnce as i32);
    assert!(KSEM_AT_LEAST_ONCE == Guarantee::AtLeastOnce as i32);
    assert!(KSEM_EXACTLY_ONCE == Guarantee::ExactlyOnce as i32);
    assert!(KSEM_APPLIED == Applied::Applied as i32);
    assert!(KSEM_LOST == Applied::Lost as i32);
    assert!(KSEM_REDELIVERED == Applied::Redelivered as i32);
};
