//! What became of a batch.

use std::ffi::{CString, c_char};

use ksem::Report;

use crate::boundary::{c_text, value};
use crate::constants::{KSEM_AT_MOST_ONCE, KSEM_REDELIVERED, ksem_applied, ksem_guarantee};

/// A position that was committed.
#[repr(C)]
pub struct ksem_position {
    /// The topic, with a NUL at its end.
    pub topic: *const c_char,
    /// The partition.
    pub partition: i32,
    /// The leader epoch of the record before it; -1 where the broker gave none.
    pub leader_epoch: i32,
    /// The next offset to read: last processed + 1.
    pub offset: i64,
}

/// Positions that were committed.
#[repr(C)]
pub struct ksem_positions {
    /// The first one.
    pub items: *const ksem_position,
    /// How many there are.
    pub len: usize,
}

/// The report of one batch. Free it with `ksem_report_free`.
pub struct ksem_report {
    report: Report,
    cause: Option<CString>,
    offsets: Vec<ksem_position>,
    _topics: Vec<CString>,
}

impl ksem_report {
    pub(crate) fn new(report: Report) -> Self {
        let topics: Vec<CString> = report.offsets.iter().map(|(source, _)| c_text(&source.topic)).collect();
        let offsets = report.offsets.iter().zip(&topics).map(|((source, position), topic)| ksem_position {
            topic: topic.as_ptr(),
            partition: source.partition,
            leader_epoch: position.leader_epoch.unwrap_or(-1),
            offset: position.offset,
        });
        Self { offsets: offsets.collect(), cause: report.cause.as_deref().map(c_text), _topics: topics, report }
    }
}

/// Returns what became of the batch: `KSEM_APPLIED`, `KSEM_LOST` or `KSEM_REDELIVERED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_applied(report: *const ksem_report) -> ksem_applied {
    value(KSEM_REDELIVERED, || Ok(borrow!(report)?.report.applied as ksem_applied))
}

/// Returns the guarantee under which it was processed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_guarantee(report: *const ksem_report) -> ksem_guarantee {
    value(KSEM_AT_MOST_ONCE, || Ok(borrow!(report)?.report.guarantee as ksem_guarantee))
}

/// Returns how many input records it had.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_records(report: *const ksem_report) -> usize {
    value(0, || Ok(borrow!(report)?.report.records))
}

/// Returns how many output records were acknowledged, without dead letters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_outputs(report: *const ksem_report) -> u64 {
    value(0, || Ok(borrow!(report)?.report.outputs))
}

/// Returns how many input records were set aside in the dead-letter topic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_dead_lettered(report: *const ksem_report) -> u64 {
    value(0, || Ok(borrow!(report)?.report.dead_lettered))
}

/// Returns how many input records the handler skipped by a verdict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_skipped(report: *const ksem_report) -> u64 {
    value(0, || Ok(borrow!(report)?.report.skipped))
}

/// Returns how many input records were given to the handler again because it had failed, each time counted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_retried(report: *const ksem_report) -> u64 {
    value(0, || Ok(borrow!(report)?.report.retried))
}

/// Returns how often the handler was called for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_attempts(report: *const ksem_report) -> u32 {
    value(0, || Ok(borrow!(report)?.report.attempts))
}

/// Returns the microseconds from the first step to the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_took_us(report: *const ksem_report) -> u64 {
    value(0, || Ok(borrow!(report)?.report.took.as_micros() as u64))
}

/// Returns the positions that were committed; none if it was not applied. They live as long as the report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_offsets(report: *const ksem_report) -> ksem_positions {
    value(ksem_positions { items: std::ptr::null(), len: 0 }, || {
        let offsets = &borrow!(report)?.offsets;
        Ok(ksem_positions { items: offsets.as_ptr(), len: offsets.len() })
    })
}

/// Returns why it was lost or not applied, in one line; NULL if it was applied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_cause(report: *const ksem_report) -> *const c_char {
    let none = std::ptr::null();
    value(none, || Ok(borrow!(report)?.cause.as_ref().map_or(none, |cause| cause.as_ptr())))
}

/// Frees a report. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_report_free(report: *mut ksem_report) {
    release!(report);
}
