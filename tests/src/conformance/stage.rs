//! A broker with a proxy in front of it, and what the runner asks it about.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use ksem_broker::EmbeddedBroker;
use ksem_testkit::proxy::Proxy;
use ksem_testkit::{Cluster, ClusterConfig, Isolation, ReadRecord, load, reader};

use super::scenario::BrokerKind;
use super::value::SIZE;

/// A broker that every scenario of its kind shares, each with topics and a group of its own.
#[derive(Debug)]
pub struct Stage {
    /// Which one it is.
    pub kind: BrokerKind,
    /// What holds requests back.
    pub proxy: Proxy,
    broker: Broker,
    bootstrap: String,
}

#[derive(Debug)]
enum Broker {
    Embedded(EmbeddedBroker),
    Real(Box<Cluster>),
}

/// How long the markers of the last transactions may take to be written: less than what is left open would take to time out.
const STABLE_WITHIN: Duration = Duration::from_secs(12);
/// The longest transaction that the real broker allows; and a machine that is busy with all cells must not make its
/// controller take it for dead.
const PROPERTIES: [(&str, &str); 2] =
    [("transaction.max.timeout.ms", "600000"), ("broker.session.timeout.ms", "60000")];

impl Stage {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(kind: BrokerKind) -> Result<Self> {
        let proxy = Proxy::listen(1)?;
        let bootstrap = format!("127.0.0.1:{}", proxy.ports()[0]);
        let broker = match kind {
            BrokerKind::Embedded => {
                // Advertised as the proxy, so that every connection goes through it.
                let builder = EmbeddedBroker::builder().advertise(&bootstrap);
                let broker = builder.auto_create_topics(false).start()?;
                proxy.lead_to(&[broker.local_addr().to_string()]);
                Broker::Embedded(broker)
            }
            BrokerKind::Real => {
                let mut config = ClusterConfig::one().proxies(proxy.ports());
                for (name, value) in PROPERTIES {
                    config = config.property(name, value);
                }
                let cluster = Cluster::start(&config)?;
                proxy.lead_to(cluster.behind_proxies());
                Broker::Real(Box::new(cluster))
            }
        };
        Ok(Self { kind, proxy, broker, bootstrap })
    }

    /// What drivers connect to.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What the runner itself connects to.
    fn direct(&self) -> &str {
        match &self.broker {
            Broker::Embedded(_) => &self.bootstrap,
            Broker::Real(cluster) => cluster.direct_bootstrap(),
        }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &BTreeMap<String, String>) -> Result<()> {
        match &self.broker {
            Broker::Embedded(broker) => {
                ensure!(broker.create_topic(name, partitions), "the topic {name} was there already");
                Ok(())
            }
            Broker::Real(cluster) => {
                let config: Vec<_> = config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                cluster.create_topic(name, partitions, &config)
            }
        }
    }

    /// Writes numbered records.
    ///
    /// # Errors
    /// When one was not written.
    pub fn fill(&self, topic: &str, ids: std::ops::Range<u64>, partitions: i32) -> Result<()> {
        load::produce_ids(self.direct(), topic, ids, SIZE, partitions as u32).map(drop)
    }

    /// Writes records with everything that they have.
    ///
    /// # Errors
    /// When one was not written.
    pub fn put(&self, topic: &str, records: &[ReadRecord]) -> Result<()> {
        load::produce_records(self.direct(), topic, records)
    }

    /// Waits until no transaction is open on a topic.
    ///
    /// # Errors
    /// When one stays open.
    pub fn wait_until_stable(&self, topic: &str) -> Result<()> {
        let stable = reader::wait_until_stable(self.direct(), topic, STABLE_WITHIN)?;
        ensure!(stable, "a transaction is still open on {topic} after {STABLE_WITHIN:?}");
        Ok(())
    }

    /// Reads a topic as it is now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self, topic: &str, isolation: Isolation) -> Result<Vec<ReadRecord>> {
        reader::read_topic(self.direct(), topic, isolation)
    }

    /// What the group has committed of a topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
        reader::committed_offsets(self.direct(), group, topic)
    }

    /// Moves the start of a partition up.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        match &self.broker {
            Broker::Embedded(broker) => {
                let start = broker.delete_records_before(topic, partition, offset);
                ensure!(start == Some(offset), "{topic}[{partition}] starts at {start:?} now");
                Ok(())
            }
            Broker::Real(cluster) => cluster.delete_records_before(topic, partition, offset),
        }
    }
}
