//! The loop of a pipeline that runs: units are opened, filled while there is a backlog, and seen
//! through, several of a lane at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::batch::{Batch, Content};
use crate::discipline::{Fault, Outcome, Step};
use crate::engine::attempt::{Drive, Ended, Means};
use crate::engine::isolate::Piece;
use crate::engine::lane::{Lane, Slot};
use crate::engine::marks::Marks;
use crate::engine::order::Turn;
use crate::engine::pace::Pace;
use crate::engine::ports::Failure;
use crate::engine::unit::Unit;
use crate::engine::verdict::{Tally, Verdict};
use crate::error::{Code, Error, Result};
use crate::handler::HandlerResult;
use crate::metrics::Counters;
use crate::output::Output;

/// What a lane calls with a batch.
pub(super) type Handler<'a> = dyn FnMut(&Arc<Content>, &mut Output) -> HandlerResult + 'a;

/// Between two looks at whether the pipeline ends.
const LOOK: Duration = Duration::from_millis(200);

/// How long the group's metadata may take to be taken anew.
const REFRESH: Duration = Duration::from_millis(20);

impl Lane {
    /// Works with one of the lane's slots until the pipeline stops.
    pub(crate) fn work(
        &self,
        slot: usize,
        handler: &(impl Fn(&Batch, &mut Output) -> HandlerResult + Sync),
    ) -> Result<()> {
        let guarantee = self.shared.config.guarantee;
        let mut handler = |content: &Arc<Content>, output: &mut Output| handler(&Batch::lent(content, self.id), output);
        while !self.shared.is_stopping() {
            if !self.shared.wait_for_room(LOOK) {
                continue;
            }
            let Some(turn) = self.order.enter(guarantee, LOOK) else { continue };
            let Some(first) = self.take_first(&turn, self.pace.first(), LOOK)? else { continue };
            let started = Instant::now();
            let mut slot = self.slots[slot].lock();
            let result = self.see_through(&mut slot, &turn, Unit::new(first), guarantee, &mut handler);
            Counters::add(&self.shared.counters.busy_us, started.elapsed().as_micros() as u64);
            if result.is_err() {
                turn.end_lane(&|| self.shared.is_overdue());
                self.shared.assignment.release((self.id, turn.number()));
                return result;
            }
            self.leave(&turn);
        }
        Ok(())
    }

    /// Attempts at a unit until all of it is settled, or has moved to another member.
    fn see_through(
        &self,
        slot: &mut Slot,
        turn: &Turn,
        unit: Unit,
        guarantee: Guarantee,
        handler: &mut Handler<'_>,
    ) -> Result<()> {
        let mut unit = unit;
        let mut growth = Some(&self.pace);
        if guarantee == Guarantee::AtMostOnce {
            // What is committed first has to be there first.
            while self.grow(turn, &mut unit, growth).map_err(|failure| failure.error)? {}
            growth = None;
        }
        // The last one is the first in order.
        let mut pending = vec![Piece::new(unit)];
        let mut tally = Tally::default();
        while let Some(mut piece) = pending.pop() {
            self.ready(&mut piece)?;
            let leads = pending.is_empty();
            let ended = self.attempt(slot, turn, leads, &mut piece, guarantee, growth.take(), handler, &mut tally);
            match self.judge(piece, ended, guarantee, &mut tally) {
                Verdict::Over { .. } => {}
                Verdict::Moved { piece, cause } => {
                    if !self.shared.wait(REFRESH) {
                        return Err(self.stop_error(cause.map(|cause| Error::new(Code::PartitionRevoked, cause))));
                    }
                    let gate = self.shared.assignment.gate();
                    pending.extend(piece.retain(|run| gate.current(run)));
                }
                Verdict::Again { after, failure, pieces } => {
                    if !self.shared.wait(after) {
                        return Err(self.stop_error(failure));
                    }
                    pending.extend(pieces.into_iter().rev());
                }
                Verdict::Stop(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One attempt at a piece of a unit. With `growth` it takes more batches in while they are there.
    #[expect(clippy::too_many_arguments, reason = "each is a thing of its own, used once")]
    pub(super) fn attempt(
        &self,
        slot: &mut Slot,
        turn: &Turn,
        leads: bool,
        piece: &mut Piece,
        guarantee: Guarantee,
        growth: Option<&Pace>,
        handler: &mut Handler<'_>,
        tally: &mut Tally,
    ) -> Ended {
        let Slot { ports, output } = slot;
        let mut means = Means { ports, turn, leads, probe: self.shared.probe.as_deref() };
        let mut drive = Drive::new(guarantee);
        tally.begin();
        if let Some(ended) = drive.until_handler(&mut means, &piece.unit) {
            return ended;
        }
        tally.handled += u32::from(piece.given_up().is_none());
        let started = Instant::now();
        let handled = self.handle(&mut means, piece, guarantee, growth, handler, output, tally);
        let closed = Instant::now();
        let mut ended = drive.after_handler(handled, &mut means, &piece.unit, output);
        output.clear();
        match ended.outcome {
            Outcome::Applied => self.pace.committed(closed),
            Outcome::Retry if guarantee == Guarantee::ExactlyOnce => self.blame_slowness(&mut ended, started.elapsed()),
            // What is with the producer in front of a record that is refused can't be taken back.
            Outcome::Stop if guarantee == Guarantee::AtLeastOnce && is_invalid(ended.failure.as_ref()) => {
                let _ = means.ports.flush(guarantee);
            }
            _ => {}
        }
        if !matches!(ended.outcome, Outcome::Applied | Outcome::Lost) {
            self.take_back(tally.marks);
        }
        ended
    }

    /// Calls the handler for each batch of the piece. What it sends for one goes to the producer before
    /// the next; that for the last is left in `output`.
    #[expect(clippy::too_many_arguments, reason = "each is a thing of its own, used once")]
    fn handle(
        &self,
        means: &mut Means<'_>,
        piece: &mut Piece,
        guarantee: Guarantee,
        growth: Option<&Pace>,
        handler: &mut Handler<'_>,
        output: &mut Output,
        tally: &mut Tally,
    ) -> std::result::Result<(), Failure> {
        means.ports.wait_for_turn(means.turn, guarantee, Step::Handle)?;
        let mut index = 0;
        loop {
            output.clear();
            if let Err(failure) = self.call(piece, index, guarantee, handler, output, &mut tally.marks) {
                tally.part = Some(index);
                let others = piece.unit.parts().len() > 1 && failure.fault == Fault::Handler;
                if guarantee != Guarantee::AtMostOnce || !others {
                    if index > 0 && guarantee != Guarantee::ExactlyOnce {
                        // What was sent for those in front can't be taken back: it is not left behind either.
                        let _ = means.ports.flush(guarantee);
                    }
                    return Err(failure);
                }
                // Its offsets are committed; the others are no worse for it.
                let part = &piece.unit.parts()[index];
                tracing::warn!(error = %failure.error, batch = part.describe(), "an at-most-once batch was lost");
                let lost = part.len();
                piece.unit.lose(lost);
                output.clear();
            }
            let unit = &mut piece.unit;
            index += 1;
            if index == unit.parts().len() && !self.grow(means.turn, unit, growth)? {
                means.turn.has(unit.records());
                return Ok(());
            }
            means.ports.wait_for_turn(means.turn, guarantee, Step::Enqueue)?;
            means.ports.enqueue(guarantee, &piece.unit.parts()[index - 1], output, means.turn)?;
        }
    }

    /// Calls the handler with one batch and carries out its verdicts. For a record that was given up, its dead letter is
    /// written instead.
    fn call(
        &self,
        piece: &mut Piece,
        index: usize,
        guarantee: Guarantee,
        handler: &mut Handler<'_>,
        output: &mut Output,
        marks: &mut Marks,
    ) -> std::result::Result<(), Failure> {
        if piece.given_up().is_some() {
            return self.bury(piece, output, marks);
        }
        let content = &piece.unit.parts()[index];
        guarded(|| handler(content, output)).map_err(|error| Failure::new(Fault::Handler, error))?;
        self.carry_out(piece, index, guarantee, output, marks)
    }

    /// Takes another batch in. Returns false if there is none, or no room.
    fn grow(&self, turn: &Turn, unit: &mut Unit, growth: Option<&Pace>) -> std::result::Result<bool, Failure> {
        let Some(limits) = growth.and_then(|pace| pace.more(unit)) else { return Ok(false) };
        let stop = |error| Failure::new(Fault::Permanent, error);
        let part = self.take(turn, limits, Duration::ZERO).map_err(stop)?;
        Ok(part.map(|part| unit.push(part)).is_some())
    }

    /// A batch that takes longer than its transaction may would fail for ever: it counts as one
    /// that the handler failed.
    fn blame_slowness(&self, ended: &mut Ended, took: Duration) {
        let allowed = Duration::from_millis(self.shared.config.transactions.timeout_ms);
        if took >= allowed {
            ended.outcome = Outcome::HandlerFailed;
            let error = Error::new(
                Code::TransactionTimedOut,
                format!(
                    "the batch took {:.1} s, longer than `transactions.timeout_ms` = {}; raise it, or make batches \
                     smaller with `batch.max_records`",
                    took.as_secs_f64(),
                    allowed.as_millis()
                ),
            );
            ended.failure = Some(error);
        }
    }
}

fn is_invalid(failure: Option<&Error>) -> bool {
    failure.is_some_and(|failure| failure.code() == Code::RecordInvalid)
}

fn is_cancelled(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    cause.downcast_ref::<Error>().is_some_and(|error| error.code() == Code::HandlerCancelled)
}

/// A panic of the handler fails its batch like an error.
fn guarded(handler: impl FnOnce() -> HandlerResult) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) if is_cancelled(&*cause) => Err(Error::new(Code::HandlerCancelled, cause.to_string())),
        Ok(Err(cause)) => Err(Error::new(Code::HandlerFailed, cause.to_string()).caused_by(cause)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::new(Code::Panic, format!("the handler panicked: {text}")))
        }
    }
}
