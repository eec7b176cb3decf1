//! The order of a lane's units in flight.
//!
//! Several units of one lane may be in work at once, each at another step. They take every step in
//! the order in which they were opened, so offsets never pass a unit that is not committed, and
//! outputs keep the order of their inputs. When an attempt fails, those behind it fail too and are
//! made again after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::Guarantee;
use crate::discipline::{self, Fault, Step};
use crate::engine::ports::Failure;
use crate::error::{Code, Error};

/// The units in flight: pure, so that every interleaving can be tried.
#[derive(Debug, Default)]
struct Flights {
    /// The number of the first one in the queue.
    first: u64,
    queue: VecDeque<Flight>,
    /// A unit was given up in front of others: nothing behind it may commit.
    dead: bool,
}

#[derive(Debug, Default)]
struct Flight {
    /// How many steps of its path this attempt has taken.
    done: usize,
    /// How many records it has, once the handler is done with it.
    records: usize,
    /// One in front of it has failed since this attempt began.
    fallen: bool,
    /// It is over; it stays until it is the first.
    gone: bool,
}

/// Whether a step may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Go,
    Wait,
    /// The attempt has to be given up.
    Fall,
    /// The lane is at its end.
    Never,
}

impl Flights {
    /// Opens a unit once the last one has taken `handled` steps, if those in flight have fewer than `most` records.
    fn enter(&mut self, depth: usize, most: usize, handled: usize) -> Option<u64> {
        let records: usize = self.queue.iter().map(|flight| flight.records).sum();
        let busy = self.dead || self.queue.len() >= depth || records >= most;
        if busy || self.queue.back().is_some_and(|last| !last.gone && last.done < handled) {
            return None;
        }
        self.queue.push_back(Flight::default());
        Some(self.first + self.queue.len() as u64 - 1)
    }

    fn index(&self, number: u64) -> usize {
        (number - self.first) as usize
    }

    fn begin(&mut self, number: u64) {
        let index = self.index(number);
        self.queue[index].fallen = false;
    }

    /// Whether a unit may take the step that is number `step` of its path.
    fn may(&self, number: u64, step: usize) -> May {
        let index = self.index(number);
        let before = index.checked_sub(1).map(|before| &self.queue[before]);
        match before {
            _ if self.dead => May::Never,
            _ if self.queue[index].fallen => May::Fall,
            Some(before) if !before.gone && before.done < step => May::Wait,
            _ => May::Go,
        }
    }

    fn done(&mut self, number: u64, step: usize) {
        let index = self.index(number);
        self.queue[index].done = step;
    }

    /// A unit's attempt has failed: those behind it fail too.
    fn fall(&mut self, number: u64) {
        let index = self.index(number);
        self.queue[index].done = 0;
        for later in self.queue.range_mut(index + 1..) {
            later.fallen = true;
        }
    }

    /// A unit is over.
    fn leave(&mut self, number: u64) {
        let index = self.index(number);
        self.queue[index].gone = true;
        while self.queue.front().is_some_and(|flight| flight.gone) {
            self.queue.pop_front();
            self.first += 1;
        }
    }

    /// A unit ends without having been applied. Unless it is alone, and its batch is given back,
    /// this is the end of the lane.
    fn give_up(&mut self, number: u64, for_good: bool) {
        let index = self.index(number);
        self.dead |= for_good || index + 1 < self.queue.len();
        self.leave(number);
    }
}

/// The units of one lane in flight.
pub(crate) struct Order {
    flights: Mutex<Flights>,
    changed: Condvar,
    depth: usize,
    most: usize,
}

/// Between two looks at whether the pipeline has ended.
const LOOK: Duration = Duration::from_millis(50);

impl Order {
    /// At most `depth` units are in flight at once, and only one where it has `most` records or more.
    pub(crate) fn new(depth: usize, most: usize) -> Arc<Self> {
        Arc::new(Self { flights: Mutex::default(), changed: Condvar::new(), depth, most })
    }

    /// Opens a unit, once the handler is done with the one before.
    pub(crate) fn enter(self: &Arc<Self>, guarantee: Guarantee, timeout: Duration) -> Option<Turn> {
        let handled = position(guarantee, Step::Handle);
        let until = Instant::now() + timeout;
        let mut flights = self.flights.lock();
        loop {
            if let Some(number) = flights.enter(self.depth, self.most, handled) {
                return Some(self.turn(number));
            }
            if self.changed.wait_until(&mut flights, until).timed_out() {
                return None;
            }
        }
    }

    /// Opens a unit if nothing is in flight.
    pub(crate) fn enter_alone(self: &Arc<Self>) -> Option<Turn> {
        let mut flights = self.flights.lock();
        if !flights.queue.is_empty() {
            return None;
        }
        flights.enter(self.depth, self.most, 0).map(|number| self.turn(number))
    }

    fn turn(self: &Arc<Self>, number: u64) -> Turn {
        Turn { order: Arc::clone(self), number, over: AtomicBool::new(false) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flights.lock().queue.is_empty()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Flights) -> T) -> T {
        let result = change(&mut self.flights.lock());
        self.changed.notify_all();
        result
    }
}

/// Returns which step of the guarantee's path it is, from 1; `None` for one beside the path.
fn place(guarantee: Guarantee, step: Step) -> Option<usize> {
    discipline::path(guarantee).iter().position(|other| *other == step).map(|index| index + 1)
}

fn position(guarantee: Guarantee, step: Step) -> usize {
    place(guarantee, step).unwrap_or(0)
}

/// One unit's place in the order.
pub(crate) struct Turn {
    order: Arc<Order>,
    number: u64,
    over: AtomicBool,
}

impl Turn {
    /// Identifies the unit within its lane.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Notes how many records the unit has.
    pub(crate) fn has(&self, records: usize) {
        let mut flights = self.order.flights.lock();
        let index = flights.index(self.number);
        flights.queue[index].records = records;
    }

    /// Starts a new attempt.
    pub(crate) fn begin(&self) {
        self.order.change(|flights| flights.begin(self.number));
    }

    /// Waits until the unit may take the step.
    ///
    /// # Errors
    /// `Abortable` if the attempt has to be given up for one in front of it; `Permanent` if
    /// `is_over` says that the pipeline ends.
    pub(crate) fn wait_for(&self, guarantee: Guarantee, step: Step, is_over: &dyn Fn() -> bool) -> Result<(), Failure> {
        let Some(step) = place(guarantee, step) else { return Ok(()) };
        let mut flights = self.order.flights.lock();
        loop {
            match flights.may(self.number, step) {
                May::Go => return Ok(()),
                May::Fall => return Err(fallen()),
                May::Wait if !is_over() => self.order.changed.wait_for(&mut flights, LOOK),
                May::Wait | May::Never => return Err(ended()),
            };
        }
    }

    /// The unit can't be applied: waits until nothing is in front of it, and ends the lane, so that
    /// nothing behind it is applied either.
    pub(crate) fn end_lane(&self, is_over: &dyn Fn() -> bool) {
        let mut flights = self.order.flights.lock();
        while flights.first != self.number && !flights.dead && !is_over() {
            self.order.changed.wait_for(&mut flights, LOOK);
        }
        self.over.store(true, Ordering::SeqCst);
        flights.give_up(self.number, true);
        drop(flights);
        self.order.changed.notify_all();
    }

    /// The step was taken.
    pub(crate) fn done(&self, guarantee: Guarantee, step: Step) {
        if let Some(step) = place(guarantee, step) {
            self.order.change(|flights| flights.done(self.number, step));
        }
    }

    /// The attempt has failed: those behind it must not commit.
    pub(crate) fn fall(&self) {
        self.order.change(|flights| flights.fall(self.number));
    }

    /// Returns whether the attempt had to be given up for one in front of it.
    pub(crate) fn has_fallen(&self) -> bool {
        let flights = self.order.flights.lock();
        flights.queue[flights.index(self.number)].fallen
    }

    /// Returns whether no other unit of the lane is in flight.
    pub(crate) fn is_alone(&self) -> bool {
        self.order.flights.lock().queue.len() == 1
    }

    /// The unit is over, and what is behind it may go on.
    pub(crate) fn leave(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.order.change(|flights| flights.leave(self.number));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !*self.over.get_mut() {
            self.order.change(|flights| flights.give_up(self.number, std::thread::panicking()));
        }
    }
}

fn fallen() -> Failure {
    let text = "a transaction in front of it was aborted, so it is made again behind that one";
    Failure::new(Fault::Abortable, Error::new(Code::TransactionFailed, text))
}

fn ended() -> Failure {
    Failure::new(Fault::Permanent, Error::new(Code::ShutdownDeadline, "the pipeline ended before its turn came"))
}

#[cfg(test)]
mod tests;
