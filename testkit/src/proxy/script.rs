//! The faults that are in force, what they hit, and what is held.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::fault::{Action, Frames};
use super::frame::{Head, Side};

/// What the listeners of a proxy share.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Where each node listens.
    upstream: OnceLock<Vec<String>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// Descriptions of faults that ended without a hit.
    missed: Vec<String>,
    connected: u64,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    node: usize,
    client: TcpStream,
    broker: TcpStream,
}

#[derive(Debug)]
struct Rule {
    number: usize,
    frames: Frames,
    action: Action,
    hits: u64,
    phase: Phase,
    /// The response to the first request that it hit.
    answer: Option<Vec<u8>>,
}

/// How far a fault has come. What it holds does what this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Frames wait.
    Open,
    /// Frames wait on; their clients lose their connections.
    Orphaned,
    /// It is over: held frames go on, or are thrown away.
    Over { passes: bool },
}

/// What is to be done with a frame.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) number: usize,
    pub(super) action: Action,
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lead_to(&self, addresses: &[String]) {
        let _ = self.upstream.set(addresses.to_vec());
        // A connection that is about to wait has the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    pub(super) fn upstream(&self, node: usize) -> Option<String> {
        let mut state = self.lock();
        loop {
            if let Some(addresses) = self.upstream.get() {
                return addresses.get(node).cloned();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes a connection. Returns its number, for [`closed`](Self::closed).
    pub(super) fn connected(&self, node: usize, client: &TcpStream, broker: &TcpStream) -> io::Result<u64> {
        let (client, broker) = (client.try_clone()?, broker.try_clone()?);
        let mut state = self.lock();
        state.connected += 1;
        let number = state.connected;
        state.connections.push(Connection { number, node, client, broker });
        Ok(number)
    }

    pub(super) fn closed(&self, number: u64) {
        self.lock().connections.retain(|connection| connection.number != number);
    }

    /// Ends every connection, or those of a node. Returns how many there were.
    pub(super) fn disconnect(&self, node: Option<usize>) -> usize {
        let state = self.lock();
        let ended = state.connections.iter().filter(|connection| node.is_none_or(|node| node == connection.node));
        ended
            .map(|connection| {
                // One of them may be closed already.
                let _ = connection.client.shutdown(Shutdown::Both);
                let _ = connection.broker.shutdown(Shutdown::Both);
            })
            .count()
    }

    pub(super) fn add(&self, frames: Frames, action: Action) -> usize {
        let mut state = self.lock();
        let number = state.rules.len();
        state.rules.push(Rule { number, frames, action, hits: 0, phase: Phase::Open, answer: None });
        number
    }

    /// The first fault that takes the frame; those that only watch see it too.
    pub(super) fn judge(&self, node: usize, head: &Head, side: Side) -> Option<Verdict> {
        let mut state = self.lock();
        let mut verdict = None;
        for rule in state.rules.iter_mut().filter(|rule| matches!(rule.phase, Phase::Open | Phase::Orphaned)) {
            let watches = rule.action == Action::Watch;
            if (watches || verdict.is_none()) && rule.frames.take(node, head, side) {
                rule.hits += 1;
                if !watches {
                    verdict = Some(Verdict { number: rule.number, action: rule.action.clone() });
                }
            }
        }
        drop(state);
        self.changed.notify_all();
        verdict
    }

    /// Waits as long as the fault holds frames. Calls `orphan` when their clients are to lose their connections.
    /// Returns whether the frame goes on.
    pub(super) fn hold(&self, number: usize, orphan: impl Fn()) -> bool {
        let mut state = self.lock();
        let mut is_orphaned = false;
        loop {
            match state.of(number).map(|rule| rule.phase) {
                Some(Phase::Open) => {}
                Some(Phase::Orphaned) if !is_orphaned => {
                    is_orphaned = true;
                    orphan();
                }
                Some(Phase::Orphaned) => {}
                Some(Phase::Over { passes }) => return passes,
                None => return false,
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn answered(&self, number: usize, frame: &[u8]) {
        if let Some(rule) = self.lock().of(number) {
            rule.answer.get_or_insert_with(|| frame.to_vec());
        }
        self.changed.notify_all();
    }

    pub(super) fn hits(&self, number: usize) -> u64 {
        self.lock().of(number).map_or(0, |rule| rule.hits)
    }

    pub(super) fn orphan(&self, number: usize) {
        if let Some(rule) = self.lock().of(number)
            && rule.phase == Phase::Open
        {
            rule.phase = Phase::Orphaned;
        }
        self.changed.notify_all();
    }

    /// The first call decides what becomes of held frames.
    pub(super) fn end(&self, number: usize, passes: bool) {
        if let Some(rule) = self.lock().of(number)
            && matches!(rule.phase, Phase::Open | Phase::Orphaned)
        {
            rule.phase = Phase::Over { passes };
        }
        self.changed.notify_all();
    }

    /// Nobody can ask about it any more.
    pub(super) fn forget(&self, number: usize) {
        self.end(number, false);
        let mut state = self.lock();
        if let Some(rule) = state.of(number)
            && rule.hits == 0
        {
            let text = format!("{:?} of {}", rule.action, rule.frames.describe());
            state.missed.push(text);
        }
        // It stays for those that hold a frame of it and look once more. The list is as long as a test's faults.
    }

    pub(super) fn missed(&self) -> Vec<String> {
        self.lock().missed.clone()
    }

    /// Waits until `look` has something. `None` if it has not in time.
    pub(super) fn wait_for<T>(
        &self,
        number: usize,
        limit: Duration,
        look: impl Fn(&Seen<'_>) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            let rule = state.of(number)?;
            if let Some(found) = look(&Seen { hits: rule.hits, answer: rule.answer.as_deref() }) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a fault has come to so far.
pub(super) struct Seen<'a> {
    pub(super) hits: u64,
    pub(super) answer: Option<&'a [u8]>,
}

impl State {
    fn of(&mut self, number: usize) -> Option<&mut Rule> {
        // Numbers are given in order and rules are never taken out.
        self.rules.get_mut(number)
    }
}

/// A fault in force.
#[derive(Debug)]
#[must_use = "the fault ends when this is dropped"]
pub struct Fault {
    pub(super) number: usize,
    pub(super) script: Arc<Script>,
}

impl Fault {
    /// How many frames it has hit.
    pub fn hits(&self) -> u64 {
        self.script.hits(self.number)
    }

    /// Waits until it has hit a frame. Returns whether it did in time.
    pub fn wait(&self, limit: Duration) -> bool {
        self.wait_for_hits(1, limit)
    }

    /// Waits until it has hit so many frames. Returns whether it did in time.
    pub fn wait_for_hits(&self, count: u64, limit: Duration) -> bool {
        self.script.wait_for(self.number, limit, |seen| (seen.hits >= count).then_some(())).is_some()
    }

    /// Ends the connections of clients whose frames are held. The frames are kept, and still get to the broker when
    /// they are let go: a request that a network has delayed for longer than its client waits.
    pub fn orphan(&self) {
        self.script.orphan(self.number);
    }

    /// Lets held frames go on, and no other be hit. What they are answered can still be asked for.
    pub fn release(&self) {
        self.script.end(self.number, true);
    }

    /// As [`release`](Self::release), for the last time.
    pub fn pass(self) {
        self.release();
    }

    /// Throws held frames away and closes their connections.
    pub fn cut(self) {
        self.script.end(self.number, false);
    }

    /// The response to the first request that was hit, with its length in front; `None` if none comes in time.
    pub fn answer(&self, limit: Duration) -> Option<Vec<u8>> {
        self.script.wait_for(self.number, limit, |seen| seen.answer.map(<[u8]>::to_vec))
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.script.forget(self.number);
    }
}
