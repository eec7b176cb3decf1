//! At-least-once: work, wait for every acknowledgement, then commit.
//!
//! | crash after | the batch in flight | why |
//! |---|---|---|
//! | nothing yet | processed by the successor | its offsets are not committed |
//! | handle | processed by the successor | its outputs were never sent |
//! | enqueue | processed by the successor | repeated as far as it filled a producer's batch, which is sent at once |
//! | produce | repeated | its outputs are visible and its offsets are not committed |
//! | commit offsets | done | nothing is left to do |

use super::{CrashEffect, CrashPoint, Discipline, Fault, Next, Outcome, Signal, Step};

pub(super) const PATH: &[Step] = &[Step::Handle, Step::Enqueue, Step::Produce, Step::CommitOffsets];

pub(super) const CRASH_POINTS: &[CrashPoint] = &[
    CrashPoint { after: Step::Handle, name: "after_handle", effect: CrashEffect::None },
    CrashPoint { after: Step::Enqueue, name: "after_enqueue", effect: CrashEffect::None },
    CrashPoint { after: Step::Produce, name: "after_produce", effect: CrashEffect::Repeated },
    CrashPoint { after: Step::CommitOffsets, name: "after_commit_offsets", effect: CrashEffect::None },
];

pub(super) struct AtLeastOnce;

impl Discipline for AtLeastOnce {
    fn next(&mut self, step: Step, signal: Signal) -> Next {
        use Next::{Do, Finish};
        match (step, signal) {
            (Step::Handle, Signal::Done) => Do(Step::Enqueue),
            (Step::Enqueue, Signal::Done) => Do(Step::Produce),
            (Step::Produce, Signal::Done) => Do(Step::CommitOffsets),
            (Step::CommitOffsets, Signal::Done) => Finish(Outcome::Applied),
            (Step::Handle, Signal::Failed(Fault::Handler)) => Finish(Outcome::HandlerFailed),
            // An idempotent producer has no successor: fenced means that the broker forgot it.
            (Step::Handle | Step::Enqueue | Step::Produce, Signal::Failed(Fault::Fatal | Fault::Fenced))
            | (Step::RebuildProducer, Signal::Failed(Fault::Transient | Fault::Unknown | Fault::Fatal)) => {
                Do(Step::RebuildProducer)
            }
            (
                Step::Handle | Step::Enqueue | Step::Produce,
                Signal::Failed(Fault::Transient | Fault::Abortable | Fault::Unknown),
            )
            // What was produced in front of it comes again, so it does too: the order is kept.
            | (Step::CommitOffsets, Signal::Failed(Fault::Abortable))
            | (Step::RebuildProducer, Signal::Done) => Finish(Outcome::Retry),
            // Everything is acknowledged: only the commit is repeated, not the work.
            (Step::CommitOffsets, Signal::Failed(Fault::Transient | Fault::Unknown)) => Do(Step::CommitOffsets),
            (Step::CommitOffsets, Signal::Failed(Fault::Revoked)) => Finish(Outcome::Revoked),
            _ => Finish(Outcome::Stop),
        }
    }
}
