//! Records whose input is not Kafka.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Guarantee;
use crate::config::Config;
use crate::config::librdkafka::{Role, producer_properties};
use crate::discipline::Fault;
use crate::engine::ports::{Failure, Sent};
use crate::error::{Code, Error, Result};
use crate::kafka::producer::Producer;
use crate::output::Output;

/// How long the transaction coordinator may take to initialise a producer.
const INIT: Duration = Duration::from_secs(6);

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
            *slot = Some(connect(&self.config, guarantee, &self.transactional_id)?);
        }
        let Some(producer) = slot.as_mut() else { return Ok(0) };
        let result = match guarantee {
            Guarantee::ExactlyOnce => in_transaction(producer, output),
            _ => producer.produce(output).map(|delivered| (delivered.acknowledged, Sent::Once)),
        };
        if !matches!(result, Ok((_, Sent::Once))) {
            // Whatever is still under way of the old producer, a new one is not touched by it.
            *slot = None;
        }
        result.map(|(records, _)| records).map_err(|failure| failure.error)
    }
}

/// A producer for a guarantee. An exactly-once one has aborted what a predecessor left open, and has fenced it.
fn connect(config: &Config, guarantee: Guarantee, transactional_id: &str) -> Result<Producer> {
    let producer = Producer::open(&producer_properties(config, Role::of(guarantee, transactional_id)))?;
    if guarantee == Guarantee::ExactlyOnce {
        producer.init_transactions(INIT).map_err(|failure| failure.error)?;
    }
    Ok(producer)
}

fn in_transaction(producer: &mut Producer, output: &Output) -> Result<(u64, Sent), Failure> {
    producer.begin()?;
    let delivered = producer.produce(output).inspect_err(|_| {
        // Readers of committed records would wait for its time-out. If this fails too, they do.
        let _ = producer.abort();
    })?;
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

/// Sends records in transactions that are filled piece by piece, for callers whose input is not
/// Kafka and does not fit in memory.
pub struct TransactionWriter {
    config: Config,
    id: String,
    producer: Option<Producer>,
    /// The open transaction: when it began, and how many records are in it.
    open: Option<(Instant, u64)>,
}

impl TransactionWriter {
    /// Connects, aborts what a predecessor with this `transactional_id` left open, and fences it.
    ///
    /// # Errors
    /// `broker_unavailable`, `guarantee_unavailable`, `not_authorized`, `config_invalid`.
    pub fn open(config: Config, transactional_id: impl Into<String>) -> Result<Self> {
        let mut writer = Self { config, id: transactional_id.into(), producer: None, open: None };
        writer.producer = Some(writer.connect()?);
        Ok(writer)
    }

    fn connect(&self) -> Result<Producer> {
        connect(&self.config, Guarantee::ExactlyOnce, &self.id)
    }

    /// Sends everything and waits for the acknowledgements. Begins a transaction if none is open.
    ///
    /// # Errors
    /// Whatever it is, the transaction is aborted: `delivery_failed`, `transaction_timed_out`,
    /// `producer_fenced`; what the topics refuse.
    pub fn send(&mut self, output: &Output) -> Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.connect()?,
        };
        let (since, records) = self.open.take().unwrap_or((Instant::now(), 0));
        let ready = if records == 0 { producer.begin() } else { Ok(()) };
        match ready.and_then(|()| producer.produce(output)) {
            Ok(delivered) => {
                self.open = Some((since, records + delivered.acknowledged));
                self.producer = Some(producer);
                Ok(())
            }
            Err(failure) => {
                // If that fails too, the cluster aborts it when its time is over.
                let _ = producer.abort();
                Err(self.timed_out(since).unwrap_or(failure.error))
            }
        }
    }

    /// Kafka fences a producer whose transaction has timed out, just as it would for a successor.
    fn timed_out(&self, since: Instant) -> Option<Error> {
        let timeout_ms = self.config.transactions.timeout_ms;
        (since.elapsed() >= Duration::from_millis(timeout_ms)).then(|| {
            Error::new(
                Code::TransactionTimedOut,
                format!("the transaction was open for longer than `transactions.timeout_ms` = {timeout_ms}; end it sooner, or raise that"),
            )
        })
    }

    /// Commits the open transaction and returns how many records were in it.
    ///
    /// # Errors
    /// `transaction_failed`, after which it is aborted; `commit_outcome_unknown`.
    pub fn commit(&mut self) -> Result<u64> {
        let Some((_, records)) = self.open.take() else { return Ok(0) };
        let Some(producer) = self.producer.take() else { return Ok(0) };
        match producer.commit() {
            Ok(Sent::Once) => self.producer = Some(producer),
            // A straggling request must not end the next transaction, and a new producer's is not touched by it.
            Ok(Sent::Again) => {}
            Err(failure) if failure.fault == Fault::Abortable => {
                let _ = producer.abort();
                return Err(failure.error);
            }
            Err(failure) => {
                let error = Error::new(Code::CommitOutcomeUnknown, "the records may or may not have been committed");
                return Err(error
                    .with("records", records)
                    .with("cause", failure.error.message())
                    .caused_by(failure.error));
            }
        }
        Ok(records)
    }

    /// Aborts the open transaction, and returns how many records were in it. Readers of committed
    /// records never see them.
    ///
    /// # Errors
    /// Where the cluster can't be told; it aborts by itself after `transactions.timeout_ms`.
    pub fn abort(&mut self) -> Result<u64> {
        let Some((_, records)) = self.open.take() else { return Ok(0) };
        let Some(producer) = self.producer.take() else { return Ok(0) };
        if producer.abort().map_err(|failure| failure.error)? == Sent::Once {
            self.producer = Some(producer);
        }
        Ok(records)
    }
}
