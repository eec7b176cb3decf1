//! Carries out the handler's verdicts: dead letters join what the batch sends.

use std::sync::atomic::Ordering;

use crate::Guarantee;
use crate::batch::Content;
use crate::dead_letter::Policy;
use crate::discipline::Fault;
use crate::engine::isolate::Piece;
use crate::engine::lane::Lane;
use crate::engine::ports::Failure;
use crate::error::{Code, Error};
use crate::handler::HandlerFailure;
use crate::output::{Fate, Mark, Output};

/// What an attempt does with single records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) dead_lettered: u64,
    pub(super) skipped: u64,
    /// Records that had to be tried again and can't be (at-most-once).
    pub(super) lost: u64,
}

impl Lane {
    /// Carries out what the handler said about records of batch `index`, if it said anything.
    ///
    /// # Errors
    /// One of the handler's if a record has to be tried again.
    pub(super) fn carry_out(
        &self,
        piece: &mut Piece,
        index: usize,
        guarantee: Guarantee,
        output: &mut Output,
        marks: &mut Marks,
    ) -> Result<(), Failure> {
        if output.is_marked() {
            let lost = marks.lost;
            self.carry_out_all(piece, &piece.unit.parts()[index], guarantee, output, marks)?;
            piece.unit.lose((marks.lost - lost) as usize);
        }
        Ok(())
    }

    #[cold]
    fn carry_out_all(
        &self,
        piece: &Piece,
        content: &Content,
        guarantee: Guarantee,
        output: &mut Output,
        marks: &mut Marks,
    ) -> Result<(), Failure> {
        let verdicts = output.take_marks();
        if let Some(mark) = verdicts.iter().find(|mark| mark.index >= content.len()) {
            let text = format!("a verdict names record {} of a batch of {}", mark.index, content.len());
            return Err(Failure::new(Fault::Permanent, Error::new(Code::Misuse, text)));
        }
        let again = verdicts.iter().filter(|mark| matches!(mark.fate, Fate::Retry(_))).count() as u64;
        if again > 0 && guarantee != Guarantee::AtMostOnce {
            return Err(Failure::new(Fault::Handler, asked_for_again(&verdicts)));
        }
        marks.lost += again;
        for Mark { index, fate } in verdicts {
            match fate {
                Fate::Retry(_) => {}
                Fate::Skip => marks.skipped += 1,
                Fate::DeadLetter(reason) => {
                    let policy = self.dead_letters(marks)?;
                    policy.write(&content.record(index), &piece.rejection(reason), output);
                }
            }
        }
        Ok(())
    }

    /// Writes the dead letter of a record that was given up.
    pub(super) fn bury(&self, piece: &Piece, output: &mut Output, marks: &mut Marks) -> Result<(), Failure> {
        let Some(cause) = piece.given_up() else { return Ok(()) };
        self.dead_letters(marks)?.write(&piece.unit.last().record(0), cause, output);
        Ok(())
    }

    /// Returns how one more dead letter is written, if it may be.
    fn dead_letters(&self, marks: &mut Marks) -> Result<Policy<'_>, Failure> {
        let stop = |error| Failure::new(Fault::Permanent, error);
        let policy = Policy::of(&self.shared.config).map_err(stop)?;
        let before = self.shared.dead_letters.fetch_add(1, Ordering::SeqCst);
        marks.dead_lettered += 1;
        match self.shared.config.dead_letter.max_failures {
            Some(most) if before >= most => Err(stop(too_many(most))),
            _ => Ok(policy),
        }
    }

    /// The attempt was not applied: its dead letters are not there.
    pub(super) fn take_back(&self, marks: Marks) {
        if marks.dead_lettered > 0 {
            self.shared.dead_letters.fetch_sub(marks.dead_lettered, Ordering::SeqCst);
        }
    }
}

fn asked_for_again(verdicts: &[Mark]) -> Error {
    let again = verdicts.iter().filter_map(|mark| match &mark.fate {
        Fate::Retry(reason) => Some((mark.index, reason)),
        _ => None,
    });
    let reason = again.clone().next().map_or_else(String::new, |(_, reason)| reason.clone());
    let failure = again.fold(HandlerFailure::new(reason.clone()), |failure, (index, _)| failure.of(index));
    Error::new(Code::HandlerFailed, reason).caused_by(failure)
}

fn too_many(most: u64) -> Error {
    let text = format!(
        "a record keeps failing, and there were {most} dead letters already, which is `dead_letter.max_failures`; nothing \
         of its batch was applied and no committed offset has passed it; remove the cause, then start again, or raise it"
    );
    Error::new(Code::TooManyDeadLetters, text)
}
