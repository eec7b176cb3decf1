//! A Kafka cluster of one or three nodes on this machine.

mod node;
mod properties;
mod topics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use krafka::admin::{DescribeClusterOptions, DescribeTransactionsOptions, ListConsumerGroupOffsetsOptions};
use tempfile::TempDir;

use crate::client;
use crate::jars;
use crate::ports::Port;
use node::Launch;
pub use node::Node;
use properties::Addresses;

/// How long a cluster may take until it serves.
const START: Duration = Duration::from_secs(90);
/// Any sixteen bytes will do; nodes of different clusters never meet, because their ports differ.
const CLUSTER_ID: &str = "a3NlbS10ZXN0LWNsdXN0ZQ";

/// What a cluster is started with.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterConfig {
    /// How many nodes: 1, or 3 with replication 3 and two in-sync replicas.
    pub nodes: usize,
    /// Server properties that add to the launcher's own, or replace them.
    pub properties: Vec<(String, String)>,
    /// Whether using an unknown topic creates it. Off by default, so that a mistyped name is an error.
    pub auto_create_topics: bool,
    /// One port for each node, on 127.0.0.1, where a proxy listens: clients are told these. See [`Cluster::behind_proxies`].
    pub proxies: Vec<u16>,
    /// The heap of a node. The default is 512 MB for one node and 384 MB for each of three.
    pub heap_mb: Option<u32>,
    /// Whether transactions work. Without them, their log asks for more replicas than there are nodes, as in clusters
    /// of one node that were never set up for them.
    pub transactions: bool,
}

impl ClusterConfig {
    /// One node.
    pub fn one() -> Self {
        Self {
            nodes: 1,
            properties: Vec::new(),
            auto_create_topics: false,
            proxies: Vec::new(),
            heap_mb: None,
            transactions: true,
        }
    }

    /// Three nodes.
    pub fn three() -> Self {
        Self { nodes: 3, ..Self::one() }
    }

    /// Sets a server property on every node.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }

    /// Makes a cluster that has no coordinator for transactions, whoever asks.
    pub fn without_transactions(mut self) -> Self {
        self.transactions = false;
        self
    }

    /// Lets clients go through proxies that listen on these ports.
    pub fn proxies(mut self, ports: impl Into<Vec<u16>>) -> Self {
        self.proxies = ports.into();
        self
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self::one()
    }
}

/// A running cluster. Dropping it ends its processes and deletes its data; they also end if this process is killed.
#[derive(Debug)]
pub struct Cluster {
    // In this order: the nodes end before their data and ports are given up.
    nodes: Vec<Node>,
    bootstrap: String,
    proxied: Option<Proxied>,
    transactions: bool,
    folder: TempDir,
    _ports: Vec<Port>,
}

#[derive(Debug)]
struct Proxied {
    bootstrap: String,
    behind: Vec<String>,
}

impl Cluster {
    /// Starts a cluster and waits until it serves.
    ///
    /// # Errors
    ///
    /// When Java or Kafka's jars are not there, or a node does not start; the error then holds the end of its log.
    pub fn start(config: &ClusterConfig) -> Result<Self> {
        ensure!(matches!(config.nodes, 1 | 3), "a cluster has 1 or 3 nodes, not {}", config.nodes);
        ensure!(
            config.proxies.is_empty() || config.proxies.len() == config.nodes,
            "{} proxies for {} nodes",
            config.proxies.len(),
            config.nodes
        );
        jars::check_java()?;
        let jars = jars::folder()?;
        let folder = tempfile::Builder::new().prefix("ksem-kafka-").tempdir().context("a temporary folder")?;
        let mut ports = Vec::new();
        let mut addresses = Vec::new();
        let mut reserve = || -> Result<u16> {
            ports.push(Port::reserve()?);
            Ok(ports[ports.len() - 1].number)
        };
        for index in 0..config.nodes {
            let proxied = match config.proxies.get(index) {
                Some(proxy) => Some((reserve()?, *proxy)),
                None => None,
            };
            addresses.push(Addresses { broker: reserve()?, controller: reserve()?, proxied });
        }
        let nodes = launch(config, &jars, folder.path(), &addresses)?;
        let list = |port: &dyn Fn(&Addresses) -> u16| -> Vec<String> {
            addresses.iter().map(|node| format!("127.0.0.1:{}", port(node))).collect()
        };
        let proxied = (!config.proxies.is_empty()).then(|| Proxied {
            bootstrap: list(&|node| node.proxied.map_or(0, |(_, proxy)| proxy)).join(","),
            behind: list(&|node| node.proxied.map_or(0, |(listen, _)| listen)),
        });
        let bootstrap = list(&|node| node.broker).join(",");
        let cluster = Self { nodes, bootstrap, proxied, transactions: config.transactions, folder, _ports: ports };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// What clients under test connect to: the proxies, if there are any.
    pub fn bootstrap(&self) -> &str {
        self.proxied.as_ref().map_or(&self.bootstrap, |proxied| &proxied.bootstrap)
    }

    /// The nodes themselves, past any proxy. Assertions read here.
    pub fn direct_bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where the proxy of each node has to connect to, in the order of [`ClusterConfig::proxies`].
    pub fn behind_proxies(&self) -> &[String] {
        self.proxied.as_ref().map_or(&[], |proxied| &proxied.behind)
    }

    /// A node, counted from 0. Its `node.id` is one higher.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The folder with everything the nodes write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until every node whose process is alive serves, and the coordinators answer.
    ///
    /// # Errors
    ///
    /// When that takes too long, or a process ends.
    pub fn wait_until_ready(&self) -> Result<()> {
        let alive: Vec<&Node> = self.nodes.iter().filter(|node| node.is_alive()).collect();
        ensure!(!alive.is_empty(), "no node is alive\n{}", self.logs());
        let deadline = Instant::now() + START;
        loop {
            let Err(error) = client::wait(probe(&self.bootstrap, alive.len(), self.transactions)) else {
                return Ok(());
            };
            if let Some(dead) = alive.iter().find(|node| !node.is_alive()) {
                bail!("the node at {} ended by itself:\n{}", dead.address(), dead.log_tail());
            }
            if Instant::now() >= deadline {
                return Err(error).with_context(|| format!("Kafka did not serve within {START:?}\n{}", self.logs()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        let logs: Vec<String> =
            self.nodes.iter().map(|node| format!("--- {}\n{}", node.log_path().display(), node.log_tail())).collect();
        logs.join("\n")
    }
}

/// Formats the nodes' data folders and starts the nodes.
fn launch(config: &ClusterConfig, jars: &Path, folder: &Path, addresses: &[Addresses]) -> Result<Vec<Node>> {
    let heap_mb = config.heap_mb.unwrap_or(if config.nodes == 1 { 512 } else { 384 });
    let data = |index: usize| folder.join(format!("data-{index}"));
    let mut starting = Vec::new();
    for (index, node) in addresses.iter().enumerate() {
        let properties = folder.join(format!("node-{index}.properties"));
        let text = properties::text(config, addresses, index, &data(index));
        fs::write(&properties, text).with_context(|| format!("writing {}", properties.display()))?;
        let log = folder.join(format!("node-{index}.log"));
        let launch = Launch { jars: PathBuf::from(jars), properties, log, heap_mb, quick_start: config.nodes > 1 };
        starting.push((launch, format!("127.0.0.1:{}", node.broker)));
    }
    format(&starting[0].0)?;
    for index in 1..config.nodes {
        copy_format(&data(0), &data(index), index).context("preparing a data folder")?;
    }
    starting.into_iter().map(|(launch, address)| Node::start(launch, address)).collect()
}

/// Makes a node's data folder from the first node's: formatting takes Java 1.5 seconds, and only two lines differ.
fn copy_format(from: &Path, to: &Path, index: usize) -> io::Result<()> {
    const META: &str = "meta.properties";
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != META {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    let meta = fs::read_to_string(from.join(META))?;
    let lines = meta.lines().map(|line| match line.split_once('=') {
        Some(("node.id", _)) => format!("node.id={}\n", index + 1),
        // Sixteen bytes in base64 that have to differ from every other node's, so another first letter does.
        Some(("directory.id", id)) => {
            let letter = ['B', 'C', 'D'].into_iter().filter(|c| !id.starts_with(*c)).nth(index - 1);
            format!("directory.id={}{}\n", letter.unwrap_or('E'), &id[1..])
        }
        _ => format!("{line}\n"),
    });
    let copy: String = lines.collect();
    fs::write(to.join(META), copy)
}

fn format(launch: &Launch) -> Result<()> {
    let command = launch.java(128);
    let output = Command::new(&command[0])
        .args(&command[1..])
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&launch.properties)
        .output()
        .context("running kafka.tools.StorageTool")?;
    ensure!(
        output.status.success(),
        "kafka.tools.StorageTool could not format a data folder ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// One look: do that many nodes serve, and is there a coordinator for groups and one for transactions? Asking for a
/// coordinator makes Kafka create the internal topic behind it.
async fn probe(bootstrap: &str, nodes: usize, transactions: bool) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let kafka = client::connect(bootstrap).await?;
    let admin = kafka.admin();
    let cluster = admin.describe_cluster(DescribeClusterOptions::default().timeout(PATIENCE)).await?;
    ensure!(cluster.brokers.len() >= nodes, "{} of {nodes} nodes serve", cluster.brokers.len());
    let options = ListConsumerGroupOffsetsOptions::default().timeout(PATIENCE);
    admin.list_consumer_group_offsets("ksem-testkit-probe", options).await.context("the group coordinator")?;
    if !transactions {
        return Ok(());
    }
    let options = DescribeTransactionsOptions::default().timeout(PATIENCE);
    for (_, result) in admin.describe_transactions(["ksem-testkit-probe"], options).await? {
        match result {
            Err(krafka::KrafkaError::Broker { code: krafka::error::ErrorCode::TransactionalIdNotFound, .. }) => {}
            other => drop(other.context("the transaction coordinator")?),
        }
    }
    Ok(())
}
