//! What a lane asks of the outside world, one method a step.

use std::time::Duration;

use crate::Guarantee;
use crate::batch::Content;
use crate::discipline::{Fault, Landed, Step};
use crate::engine::order::Turn;
use crate::engine::unit::Unit;
use crate::error::Error;
use crate::output::Output;

/// A step that failed: what the discipline needs to know, and what the user does.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) error: Error,
}

impl Failure {
    pub(crate) fn new(fault: Fault, error: Error) -> Self {
        Self { fault, error }
    }
}

/// How often the request that ends a transaction was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Once,
    /// A copy may still be under way.
    Again,
}

/// How many records were acknowledged, and how many were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
}

pub(crate) trait Ports {
    /// Commits the unit's offsets without a transaction and waits for the reply.
    fn commit_offsets(&mut self, unit: &Unit) -> Result<(), Failure>;
    fn begin_transaction(&mut self) -> Result<(), Failure>;
    /// Hands what was sent for one batch to the producer. What may leave by itself waits until the outputs of the
    /// units in front are delivered.
    fn enqueue(&mut self, guarantee: Guarantee, batch: &Content, output: &Output, turn: &Turn) -> Result<(), Failure>;
    /// Sends what is with the producer, and waits for every delivery report since the last flush.
    fn flush(&mut self, guarantee: Guarantee) -> Result<Delivered, Failure>;
    fn send_offsets(&mut self, unit: &Unit) -> Result<(), Failure>;
    fn commit_transaction(&mut self) -> Result<Sent, Failure>;
    fn abort_transaction(&mut self) -> Result<Sent, Failure>;
    fn rebuild_producer(&mut self, guarantee: Guarantee) -> Result<(), Failure>;
    fn read_committed(&mut self, unit: &Unit) -> Result<Landed, Failure>;
    /// Waits before a step is tried again; returns false if the pipeline is being stopped.
    fn wait(&mut self, time: Duration) -> bool;
    /// Waits until the units in front have taken the step.
    fn wait_for_turn(&mut self, turn: &Turn, guarantee: Guarantee, step: Step) -> Result<(), Failure>;
}
