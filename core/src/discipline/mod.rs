//! The three disciplines as pure state machines: no clock, no I/O, no threads.
//!
//! A machine is told how its last step ended and names the next one. What a step does is the
//! business of the engine (on Kafka) or of the simulation (in the property tests), so both run the
//! same decisions.

mod at_least_once;
mod at_most_once;
mod exactly_once;

use crate::Guarantee;

/// What can be asked of a lane. The disciplines differ in the order of these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Commit the batch's offsets and wait for the reply.
    CommitOffsets,
    /// Begin a transaction.
    BeginTransaction,
    /// Run the handler on the batch. Where several batches are committed together, on each of them,
    /// and what it sent for one is handed to the producer before the next.
    Handle,
    /// Hand the outputs to the producer, which may send them from now on.
    Enqueue,
    /// Add the batch's offsets to the transaction, with the group's metadata (KIP-447).
    SendOffsets,
    /// Send whatever is with the producer still, and wait for every delivery report.
    Produce,
    /// Commit the transaction.
    CommitTransaction,
    /// Abort the transaction.
    AbortTransaction,
    /// Discard the producer and initialise a new one with the same `transactional.id`: the epoch
    /// bump fences whatever of the old one is still under way. Fails with [`Fault::Fenced`] if a
    /// newer instance holds the id.
    RebuildProducer,
    /// Read the group's stable committed offsets: they say whether the batch took effect.
    ReadCommitted,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It did what it says.
    Done,
    /// It did what it says, and its EndTxn request was sent more than once. A straggling copy
    /// could end the next transaction (KAFKA-17754), so this producer must not begin one.
    DoneResent,
    /// [`Step::ReadCommitted`] found what became of the batch.
    Found(Landed),
    /// It failed.
    Failed(Fault),
}

/// Where the group's committed offsets stand, seen from a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Behind the batch: it took effect.
    Applied,
    /// At the batch's start: it did not.
    NotApplied,
}

/// Why a step failed, as far as the next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler failed.
    Handler,
    /// The step may succeed when it is tried again.
    Transient,
    /// The transaction has to be aborted; the producer lives.
    Abortable,
    /// The producer is broken.
    Fatal,
    /// It is not known whether the step took effect.
    Unknown,
    /// A newer instance holds the `transactional.id`.
    Fenced,
    /// A partition of the batch is no longer this member's.
    Revoked,
    /// Trying again can't help: a denied topic, a record that is too large.
    Permanent,
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take this step.
    Do(Step),
    /// The attempt is over.
    Finish(Outcome),
}

/// How an attempt at a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The batch took effect and its offsets are committed.
    Applied,
    /// Nothing is committed; the same batch must be processed again. At-least-once may have
    /// visible outputs.
    Retry,
    /// As `Retry`, and it was the handler that failed.
    HandlerFailed,
    /// The offsets are committed and the effect is missing or partial (at-most-once).
    Lost,
    /// The batch belongs to another member now.
    Revoked,
    /// The pipeline must stop: see the fault of the last step.
    Stop,
}

/// One attempt at one batch.
pub trait Discipline {
    /// Returns what to do after `step` ended with `signal`.
    fn next(&mut self, step: Step, signal: Signal) -> Next;
}

/// Returns the guarantee's steps where nothing fails.
pub fn path(guarantee: Guarantee) -> &'static [Step] {
    match guarantee {
        Guarantee::AtMostOnce => at_most_once::PATH,
        Guarantee::AtLeastOnce => at_least_once::PATH,
        Guarantee::ExactlyOnce => exactly_once::PATH,
    }
}

/// Returns a fresh machine for the guarantee.
pub fn machine(guarantee: Guarantee) -> Box<dyn Discipline + Send> {
    match guarantee {
        Guarantee::AtMostOnce => Box::new(at_most_once::AtMostOnce),
        Guarantee::AtLeastOnce => Box::new(at_least_once::AtLeastOnce),
        Guarantee::ExactlyOnce => Box::<exactly_once::ExactlyOnce>::default(),
    }
}

/// One row of a discipline's crash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    /// The process dies when this step has been taken and the next one has not.
    pub after: Step,
    /// The row's name in `ksem demo` and in the scenarios.
    pub name: &'static str,
    /// What becomes of the batch in flight.
    pub effect: CrashEffect,
}

/// What a crash does to the batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashEffect {
    /// It is processed once, by the successor.
    None,
    /// It is lost.
    Lost,
    /// It is processed again although its outputs are visible.
    Repeated,
}

/// Returns the guarantee's crash table: one row for each gap between two steps.
pub fn crash_points(guarantee: Guarantee) -> &'static [CrashPoint] {
    match guarantee {
        Guarantee::AtMostOnce => at_most_once::CRASH_POINTS,
        Guarantee::AtLeastOnce => at_least_once::CRASH_POINTS,
        Guarantee::ExactlyOnce => exactly_once::CRASH_POINTS,
    }
}
