//! The broker as its owner sees it: a builder and a handle, both synchronous.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use krafka::testing::{ApiKey, FakeBroker};
use tokio::sync::oneshot;

use crate::address::{self, Listening};
use crate::error::BrokerError;
use crate::front::{Front, Shared};
use crate::housekeeping;

/// Settings of a broker that has not been started.
#[derive(Debug, Clone)]
pub struct Builder {
    listen: String,
    advertise: Option<String>,
    topics: Vec<(String, i32)>,
    auto_create_topics: bool,
    default_partitions: i32,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            advertise: None,
            topics: Vec::new(),
            // The two defaults of Apache Kafka: `auto.create.topics.enable` and `num.partitions`.
            auto_create_topics: true,
            default_partitions: 1,
        }
    }
}

impl Builder {
    /// Where to listen, as `host:port`. Port 0 takes any free port. The default is `127.0.0.1:0`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The host that clients are told to connect to, or `host:port` where a proxy is in front. The default is the
    /// host given to [`Builder::listen`], or loopback where that is a wildcard address.
    #[must_use]
    pub fn advertise(mut self, host: impl Into<String>) -> Self {
        self.advertise = Some(host.into());
        self
    }

    /// A topic that exists from the start.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Whether a producer's first use of an unknown topic creates it. On by default, as on Apache Kafka.
    #[must_use]
    pub fn auto_create_topics(mut self, enabled: bool) -> Self {
        self.auto_create_topics = enabled;
        self
    }

    /// How many partitions a topic gets that is created without a number. The default is 1.
    #[must_use]
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.default_partitions = partitions.max(1);
        self
    }

    /// Starts the broker on a thread of its own. It accepts connections when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot listen on the address, or the system has no thread or socket left.
    pub fn start(self) -> Result<EmbeddedBroker, BrokerError> {
        // Bound here, on the caller's thread, so that the error belongs to the caller and the port is known.
        let listening = address::bind(&self.listen, self.advertise.as_deref())?;
        let bootstrap = listening.bootstrap();
        let own = listening.listener.local_addr().map_err(|error| BrokerError::from_bind(&self.listen, &error))?;
        let other = |reason: String| BrokerError::Other { address: self.listen.clone(), reason };
        let (started, outcome) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = self.clone();
        let thread = thread::Builder::new()
            .name("ksem-broker".to_owned())
            .spawn(move || run(&settings, listening, &started, stopped))
            .map_err(|error| other(format!("no thread for it: {error}")))?;
        match outcome.recv() {
            Ok(Ok(shared)) => Ok(EmbeddedBroker { bootstrap, own, shared, stop: Some(stop), thread: Some(thread) }),
            Ok(Err(reason)) => Err(other(reason)),
            Err(_) => Err(other("its thread ended before it was up".to_owned())),
        }
    }
}

/// The broker's thread: the runtime lives and dies here, so that the handle can be used and dropped from
/// synchronous and asynchronous code alike.
fn run(
    settings: &Builder,
    listening: Listening,
    started: &mpsc::Sender<Result<Arc<Shared>, String>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ksem-broker-io")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    runtime.block_on(async {
        let (front, shared) = match prepare(settings, listening).await {
            Ok(parts) => parts,
            Err(reason) => {
                let _ = started.send(Err(reason));
                return;
            }
        };
        tokio::spawn(front.run());
        tokio::spawn(housekeeping::run(Arc::clone(&shared)));
        if started.send(Ok(shared)).is_ok() {
            // Either the message or the sender's end means the same: the owner is done.
            let _ = stopped.await;
        }
    });
    // Waits for the workers, so that the port is free when the owner goes on.
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Starts the broker behind the front, and teaches it what librdkafka needs.
async fn prepare(settings: &Builder, listening: Listening) -> Result<(Front, Arc<Shared>), String> {
    let broker = FakeBroker::start().await.map_err(|error| error.to_string())?;
    let inner = broker.broker_addr(0).ok_or("the inner broker has no address")?;
    // librdkafka speaks older versions than the ones that are advertised by default. The front rewrites EndTxn;
    // the handlers read the others' layouts already.
    broker.set_api_versions(ApiKey::EndTxn, 0, 5);
    broker.set_api_versions(ApiKey::TxnOffsetCommit, 3, 5);
    broker.set_api_versions(ApiKey::DeleteTopics, 1, 3);
    // From version 7 a client can ask for stable offsets, which the front sees to.
    broker.set_api_versions(ApiKey::OffsetFetch, 5, 7);
    broker.with_state(|state| {
        "ksem-embedded".clone_into(&mut state.cluster_id);
        state.auto_create_topics = settings.auto_create_topics;
        state.default_partitions = settings.default_partitions;
        for node in &mut state.brokers {
            node.host.clone_from(&listening.host);
            node.port = i32::from(listening.port);
        }
        for (name, partitions) in &settings.topics {
            state.create_topic(name, *partitions);
        }
    });
    let shared = Arc::new(Shared::new(broker, inner));
    let front = Front::new(listening.listener, Arc::clone(&shared)).map_err(|error| error.to_string())?;
    Ok((front, shared))
}

/// A running broker. It stops when it is dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    bootstrap: String,
    own: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Settings to start from.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What to give a client as `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where it listens itself, which differs from what it advertises where a proxy is in front of it.
    pub fn local_addr(&self) -> SocketAddr {
        self.own
    }

    /// Creates a topic. `false` if it exists already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> bool {
        self.shared.broker.create_topic(name, partitions)
    }

    /// Aborts the open transaction of a `transactional.id` and fences its producer, as its timeout would. `false`
    /// if no transaction is open.
    pub fn abort_transaction(&self, transactional_id: &str) -> bool {
        let aborted = self.shared.broker.abort_transaction(transactional_id);
        self.shared.appended.notify_waiters();
        aborted
    }

    /// The offset a group has committed for a partition.
    pub fn committed_offset(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.shared.broker.committed_offset(group, topic, partition)
    }

    /// The offset that the next record of a partition will get.
    pub fn end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.shared.broker.next_offset(topic, partition)
    }

    /// Moves the start of a partition's log up to `offset`, as retention does, and frees the batches that lie wholly
    /// before it. Returns the new start; `None` if there is no such partition.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Option<i64> {
        let start = self.shared.broker.with_state(|state| {
            let log = state.partition_mut(topic, partition)?;
            log.log_start_offset = offset.clamp(log.log_start_offset, log.next_offset);
            let keep = crate::front::first_batch_after(&log.log, log.log_start_offset);
            log.log.drain(..keep);
            Some(log.log_start_offset)
        });
        self.shared.appended.notify_waiters();
        start
    }

    /// Closes the port and every connection, and waits until that is done.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has nothing to tell: a panic in it was printed by its hook.
            let _ = thread.join();
        }
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.shut_down();
    }
}
