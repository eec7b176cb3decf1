//! Topics of a cluster.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use krafka::admin::{CreateTopicsOptions, DeleteRecordsOptions, DescribeTopicsOptions, NewTopic, TopicPartition};

use super::Cluster;
use crate::client;

const TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Creates a topic with the cluster's replication, and waits until every live node knows it and each partition
    /// has a leader.
    ///
    /// # Errors
    ///
    /// When Kafka refuses, for example because it exists.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Result<()> {
        ensure!(partitions > 0, "a topic needs partitions, and {name} would have {partitions}");
        let nodes: Vec<&str> = self.nodes().iter().filter(|node| node.is_alive()).map(super::Node::address).collect();
        client::wait(async {
            let kafka = client::connect(self.direct_bootstrap()).await?;
            let mut topic = NewTopic::new(name, partitions, -1)?;
            for (key, value) in config {
                topic = topic.with_config(*key, *value);
            }
            let options = CreateTopicsOptions::default().timeout(TIMEOUT);
            for (_, result) in kafka.admin().create_topics([topic], options).await? {
                result.with_context(|| format!("creating topic {name}"))?;
            }
            for node in nodes {
                wait_for_leaders(node, name, partitions).await?;
            }
            Ok(())
        })
    }

    /// Deletes the records of a partition that lie before `offset`.
    ///
    /// # Errors
    ///
    /// When Kafka refuses.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        client::wait(async {
            let kafka = client::connect(self.direct_bootstrap()).await?;
            let before = [(TopicPartition::new(topic, partition), offset)];
            let options = DeleteRecordsOptions::default().timeout(TIMEOUT);
            for (_, result) in kafka.admin().delete_records(before, options).await? {
                let start = result.with_context(|| format!("deleting records of {topic}-{partition}"))?;
                ensure!(start == offset, "{topic}-{partition} now starts at {start} instead of {offset}");
            }
            Ok(())
        })
    }
}

async fn wait_for_leaders(node: &str, topic: &str, partitions: i32) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        // A new client each time: metadata that was fetched once is kept for minutes.
        let kafka = client::connect(node).await?;
        let described = kafka.admin().describe_topics([topic], DescribeTopicsOptions::default()).await?;
        let leaders = described.into_values().filter_map(Result::ok).flat_map(|topic| topic.partitions);
        if leaders.filter(|partition| partition.leader.is_some()).count() == partitions as usize {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("not every partition of {topic} had a leader within {TIMEOUT:?}, as seen from {node}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
