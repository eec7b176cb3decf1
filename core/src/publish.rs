//! Records whose input is not Kafka.

use std::time::Duration;

use parking_lot::Mutex;

use crate::Guarantee;
use crate::config::Config;
use crate::config::librdkafka::{Role, producer_properties};
use crate::engine::ports::{Failure, Sent};
use crate::error::{Code, Error, Result};
use crate::kafka::producer::Producer;
use crate::output::Output;

/// Sends records under a guarantee, for callers whose input is not Kafka.
///
/// Only `kafka`, `at_most_once` and `transactions.timeout_ms` of the configuration matter.
pub struct Publisher {
    config: Config,
    transactional_id: String,
    /// Made when they are first asked for.
    producers: [Mutex<Option<Producer>>; 3],
}

impl Publisher {
    /// Makes a publisher. Two that are open at once need different `transactional_id`s: the newer
    /// one fences the older one.
    pub fn new(config: Config, transactional_id: impl Into<String>) -> Self {
        Self { config, transactional_id: transactional_id.into(), producers: Default::default() }
    }

    /// Sends everything and waits for the acknowledgements: at-most-once with `acks` 0 or 1 and no
    /// retry, at-least-once with `acks=all` and an idempotent producer, exactly-once in one
    /// transaction over all topics. Returns how many records were acknowledged.
    ///
    /// # Errors
    /// `delivery_failed`; `commit_outcome_unknown` where the end of the transaction is not known;
    /// `producer_fenced`; what the topics refuse.
    pub fn publish(&self, output: &Output, guarantee: Guarantee) -> Result<u64> {
        let mut slot = self.producers[guarantee as usize].lock();
        if slot.is_none() {
            *slot = Some(self.open(guarantee)?);
        }
        let Some(producer) = slot.as_mut() else { return Ok(0) };
        let result = match guarantee {
            Guarantee::ExactlyOnce => in_transaction(producer, output),
            _ => producer.produce(None, output).map(|delivered| (delivered.acknowledged, Sent::Once)),
        };
        if !matches!(result, Ok((_, Sent::Once))) {
            // Whatever is still under way of the old producer, a new one is not touched by it.
            *slot = None;
        }
        result.map(|(records, _)| records).map_err(|failure| failure.error)
    }

    fn open(&self, guarantee: Guarantee) -> Result<Producer> {
        let role = match guarantee {
            Guarantee::AtMostOnce => Role::AtMostOnce,
            Guarantee::AtLeastOnce => Role::AtLeastOnce,
            Guarantee::ExactlyOnce => Role::Transactional { id: &self.transactional_id },
        };
        let producer = Producer::open(&producer_properties(&self.config, role))?;
        if guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions(Duration::from_secs(8)).map_err(|failure| failure.error)?;
        }
        Ok(producer)
    }
}

fn in_transaction(producer: &mut Producer, output: &Output) -> Result<(u64, Sent), Failure> {
    producer.begin()?;
    let delivered = producer.produce(None, output)?;
    match producer.commit() {
        Ok(sent) => Ok((delivered.acknowledged, sent)),
        Err(mut failure) => {
            // No offsets were in it, so nothing can tell later what became of it.
            let error = Error::new(Code::CommitOutcomeUnknown, "the records may or may not have been committed");
            failure.error = error.caused_by(failure.error);
            Err(failure)
        }
    }
}
