//! Whether the group has caught up with its inputs.

use std::time::{Duration, Instant};

use crate::engine::shared::Shared;
use crate::error::Result;
use crate::kafka::admin::Admin;
use crate::record::TopicPartition;

/// The ends that the inputs had when it was made.
pub(crate) struct CaughtUp {
    targets: Vec<(TopicPartition, i64)>,
    next_look: Instant,
}

/// Between two questions to the group's coordinator.
const INTERVAL: Duration = Duration::from_millis(200);

impl CaughtUp {
    pub(crate) fn at_the_start(shared: &Shared) -> Result<Self> {
        let admin = Admin::connect(&shared.config)?;
        let mut targets = Vec::new();
        for input in &shared.config.inputs {
            for (source, low, end) in admin.ends(input)? {
                // An empty partition has nothing to catch up with, and nobody commits it.
                if end > low {
                    targets.push((source, end));
                }
            }
        }
        Ok(Self { targets, next_look: Instant::now() })
    }

    /// The group's own offsets decide, so partitions of other members count too.
    pub(crate) fn is_reached(&mut self, shared: &Shared) -> bool {
        if Instant::now() < self.next_look {
            return false;
        }
        self.next_look = Instant::now() + INTERVAL;
        let sources: Vec<_> = self.targets.iter().map(|(source, _)| source.clone()).collect();
        if sources.is_empty() {
            return true;
        }
        let Ok(consumer) = shared.consumer() else { return false };
        match consumer.committed(&sources, Duration::from_secs(2)) {
            Ok(committed) => committed.iter().zip(&self.targets).all(|(item, (_, end))| item.offset >= *end),
            Err(failure) => {
                tracing::debug!(error = %failure.error, "the group's offsets can't be read now");
                false
            }
        }
    }
}
