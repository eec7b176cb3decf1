//! What a lane asks of the outside world, one method a step.

use std::time::Duration;

use crate::Guarantee;
use crate::batch::Batch;
use crate::discipline::{Fault, Landed};
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
    /// Commits the batch's offsets without a transaction and waits for the reply.
    fn commit_offsets(&mut self, batch: &Batch) -> Result<(), Failure>;
    fn begin_transaction(&mut self) -> Result<(), Failure>;
    /// Produces everything and waits for every delivery report.
    fn produce(&mut self, guarantee: Guarantee, batch: &Batch, output: &Output) -> Result<Delivered, Failure>;
    fn send_offsets(&mut self, batch: &Batch) -> Result<(), Failure>;
    fn commit_transaction(&mut self) -> Result<Sent, Failure>;
    fn abort_transaction(&mut self) -> Result<Sent, Failure>;
    fn rebuild_producer(&mut self, guarantee: Guarantee) -> Result<(), Failure>;
    fn read_committed(&mut self, batch: &Batch) -> Result<Landed, Failure>;
    /// Waits before a step is tried again; returns false if the pipeline is being stopped.
    fn wait(&mut self, time: Duration) -> bool;
}
