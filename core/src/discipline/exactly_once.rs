//! Exactly-once: outputs and offsets in one transaction.
//!
//! | crash after | the batch in flight | why |
//! |---|---|---|
//! | begin transaction | processed by the successor | nothing was sent |
//! | handle | processed by the successor | nothing was sent |
//! | enqueue | processed by the successor | its initialisation aborts the open transaction |
//! | send offsets | processed by the successor | the same; it waits for stable offsets |
//! | produce | processed by the successor | the same |
//! | commit transaction | done | outputs and offsets appeared together |
//!
//! The offsets go into the transaction while the outputs are under way: both are in it, or neither.

use super::{CrashEffect, CrashPoint, Discipline, Fault, Landed, Next, Outcome, Signal, Step};

pub(super) const PATH: &[Step] =
    &[Step::BeginTransaction, Step::Handle, Step::Enqueue, Step::SendOffsets, Step::Produce, Step::CommitTransaction];

pub(super) const CRASH_POINTS: &[CrashPoint] = &[
    CrashPoint { after: Step::BeginTransaction, name: "after_begin", effect: CrashEffect::None },
    CrashPoint { after: Step::Handle, name: "after_handle", effect: CrashEffect::None },
    CrashPoint { after: Step::Enqueue, name: "after_enqueue", effect: CrashEffect::None },
    CrashPoint { after: Step::SendOffsets, name: "after_send_offsets", effect: CrashEffect::None },
    CrashPoint { after: Step::Produce, name: "after_produce", effect: CrashEffect::None },
    CrashPoint { after: Step::CommitTransaction, name: "after_commit", effect: CrashEffect::None },
];

/// What the attempt will end as, once the transaction or its producer is out of the way.
#[derive(Default)]
pub(super) struct ExactlyOnce {
    verdict: Verdict,
}

#[derive(Clone, Copy, Default)]
enum Verdict {
    /// An outcome that is already certain.
    Known(Outcome),
    /// Only the committed offsets can tell.
    #[default]
    AskTheGroup,
}

impl ExactlyOnce {
    fn abort(&mut self, then: Outcome) -> Next {
        self.verdict = Verdict::Known(then);
        Next::Do(Step::AbortTransaction)
    }

    fn rebuild(&mut self, verdict: Verdict) -> Next {
        self.verdict = verdict;
        Next::Do(Step::RebuildProducer)
    }

    fn after_rebuild(&self) -> Next {
        match self.verdict {
            Verdict::Known(outcome) => Next::Finish(outcome),
            Verdict::AskTheGroup => Next::Do(Step::ReadCommitted),
        }
    }

    /// Nothing was committed yet, so every failure leads to an abort or to a new producer.
    fn before_commit(&mut self, fault: Fault) -> Next {
        match fault {
            Fault::Handler => self.abort(Outcome::HandlerFailed),
            Fault::Transient | Fault::Abortable => self.abort(Outcome::Retry),
            Fault::Revoked => self.abort(Outcome::Revoked),
            Fault::Permanent => self.abort(Outcome::Stop),
            // A fenced producer may only have met its transaction's timeout: rebuilding finds out.
            Fault::Fatal | Fault::Unknown | Fault::Fenced => self.rebuild(Verdict::Known(Outcome::Retry)),
        }
    }
}

impl Discipline for ExactlyOnce {
    fn next(&mut self, step: Step, signal: Signal) -> Next {
        use Next::{Do, Finish};
        match (step, signal) {
            (Step::BeginTransaction, Signal::Done) => Do(Step::Handle),
            (Step::Handle, Signal::Done) => Do(Step::Enqueue),
            (Step::Enqueue, Signal::Done) => Do(Step::SendOffsets),
            (Step::SendOffsets, Signal::Done) => Do(Step::Produce),
            (Step::Produce, Signal::Done) => Do(Step::CommitTransaction),
            (Step::CommitTransaction, Signal::Done) => Finish(Outcome::Applied),
            (Step::CommitTransaction, Signal::DoneResent) => self.rebuild(Verdict::Known(Outcome::Applied)),

            // There is no transaction to abort.
            (Step::BeginTransaction, Signal::Failed(_)) => self.rebuild(Verdict::Known(Outcome::Retry)),
            (Step::Handle | Step::Enqueue | Step::SendOffsets | Step::Produce, Signal::Failed(fault)) => {
                self.before_commit(fault)
            }
            // The coordinator refused the commit and asks for an abort: it is not applied.
            (Step::CommitTransaction, Signal::Failed(Fault::Abortable)) => self.abort(Outcome::Retry),
            (Step::CommitTransaction, Signal::Failed(_)) => self.rebuild(Verdict::AskTheGroup),

            (Step::AbortTransaction, Signal::Done) => self.after_rebuild(),
            (Step::AbortTransaction, _) => self.rebuild(self.verdict),
            (Step::RebuildProducer, Signal::Done) => self.after_rebuild(),
            (Step::RebuildProducer, Signal::Failed(Fault::Transient | Fault::Unknown | Fault::Fatal)) => {
                Do(Step::RebuildProducer)
            }
            (Step::ReadCommitted, Signal::Found(Landed::Applied)) => Finish(Outcome::Applied),
            (Step::ReadCommitted, Signal::Found(Landed::NotApplied)) => Finish(Outcome::Retry),
            (Step::ReadCommitted, Signal::Failed(Fault::Transient | Fault::Unknown)) => Do(Step::ReadCommitted),
            (Step::ReadCommitted, Signal::Failed(Fault::Revoked)) => Finish(Outcome::Revoked),
            _ => Finish(Outcome::Stop),
        }
    }
}
