//! At-most-once: commit, then work. What fails after the commit is lost, and counted.
//!
//! | crash after | the batch in flight | why |
//! |---|---|---|
//! | nothing yet | processed by the successor | its offsets are not committed |
//! | commit offsets | lost | the successor starts behind it |
//! | handle | lost | the same; its outputs were never sent |
//! | enqueue | lost | the same, but for what filled a producer's batch |
//! | produce | done | nothing is left to do |

use super::{CrashEffect, CrashPoint, Discipline, Fault, Next, Outcome, Signal, Step};

pub(super) const PATH: &[Step] = &[Step::CommitOffsets, Step::Handle, Step::Enqueue, Step::Produce];

pub(super) const CRASH_POINTS: &[CrashPoint] = &[
    CrashPoint { after: Step::CommitOffsets, name: "after_commit_offsets", effect: CrashEffect::Lost },
    CrashPoint { after: Step::Handle, name: "after_handle", effect: CrashEffect::Lost },
    CrashPoint { after: Step::Enqueue, name: "after_enqueue", effect: CrashEffect::Lost },
    CrashPoint { after: Step::Produce, name: "after_produce", effect: CrashEffect::None },
];

pub(super) struct AtMostOnce;

impl Discipline for AtMostOnce {
    fn next(&mut self, step: Step, signal: Signal) -> Next {
        use Next::{Do, Finish};
        match (step, signal) {
            (Step::CommitOffsets, Signal::Done) => Do(Step::Handle),
            // The commit is repeated until its reply says that it is done: working on a batch
            // whose commit may not have arrived could give it two effects.
            (Step::CommitOffsets, Signal::Failed(Fault::Transient | Fault::Unknown)) => Do(Step::CommitOffsets),
            (Step::CommitOffsets, Signal::Failed(Fault::Revoked)) => Finish(Outcome::Revoked),
            (Step::Handle, Signal::Done) => Do(Step::Enqueue),
            (Step::Enqueue, Signal::Done) => Do(Step::Produce),
            (Step::Produce, Signal::Done) => Finish(Outcome::Applied),
            // The offsets are behind the batch for good: nothing may be tried again.
            (Step::Handle | Step::Enqueue | Step::Produce, Signal::Failed(Fault::Fatal | Fault::Fenced)) => {
                Do(Step::RebuildProducer)
            }
            (Step::Handle | Step::Enqueue | Step::Produce | Step::RebuildProducer, _) => Finish(Outcome::Lost),
            _ => Finish(Outcome::Stop),
        }
    }
}
