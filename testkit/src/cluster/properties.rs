//! `server.properties` of a node.

use std::fmt::Write;
use std::path::Path;

use super::ClusterConfig;

/// The addresses of one node, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    /// Where nodes talk to each other, and clients too unless a proxy is in between.
    pub(super) broker: u16,
    pub(super) controller: u16,
    /// Where a proxy connects to, and the port of the proxy that is advertised for it.
    pub(super) proxied: Option<(u16, u16)>,
}

/// The whole file of node `index`. The caller's own properties come last, so that they win.
pub(super) fn text(config: &ClusterConfig, nodes: &[Addresses], index: usize, data: &Path) -> String {
    let node = nodes[index];
    let replicas = nodes.len();
    let quorum = replicas / 2 + 1;
    let transaction_replicas = if config.transactions { replicas } else { replicas + 1 };
    let voters: Vec<String> =
        nodes.iter().enumerate().map(|(i, node)| format!("{}@127.0.0.1:{}", i + 1, node.controller)).collect();
    let mut listeners = format!("BROKER://127.0.0.1:{},CONTROLLER://127.0.0.1:{}", node.broker, node.controller);
    let mut advertised = format!("BROKER://127.0.0.1:{}", node.broker);
    if let Some((listen, proxy)) = node.proxied {
        let _ = write!(listeners, ",PROXIED://127.0.0.1:{listen}");
        let _ = write!(advertised, ",PROXIED://127.0.0.1:{proxy}");
    }
    let own: [(&str, String); 34] = [
        ("process.roles", "broker,controller".into()),
        ("node.id", (index + 1).to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("listeners", listeners),
        ("advertised.listeners", advertised),
        ("controller.listener.names", "CONTROLLER".into()),
        ("inter.broker.listener.name", "BROKER".into()),
        ("listener.security.protocol.map", "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT".into()),
        ("log.dirs", data.display().to_string()),
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("num.partitions", "1".into()),
        ("default.replication.factor", replicas.to_string()),
        ("min.insync.replicas", quorum.to_string()),
        // The internal topics: few partitions, so that creating them takes no time.
        ("offsets.topic.num.partitions", "5".into()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("transaction.state.log.num.partitions", "5".into()),
        ("transaction.state.log.replication.factor", transaction_replicas.to_string()),
        ("transaction.state.log.min.isr", quorum.to_string()),
        ("share.coordinator.state.topic.num.partitions", "1".into()),
        ("share.coordinator.state.topic.replication.factor", replicas.to_string()),
        ("share.coordinator.state.topic.min.isr", quorum.to_string()),
        // Tests should not wait for what production waits for.
        ("group.initial.rebalance.delay.ms", "0".into()),
        ("group.min.session.timeout.ms", "1000".into()),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000".into()),
        ("broker.heartbeat.interval.ms", "500".into()),
        ("broker.session.timeout.ms", "4000".into()),
        ("controller.quorum.election.timeout.ms", "500".into()),
        ("controller.quorum.fetch.timeout.ms", "1500".into()),
        ("initial.broker.registration.timeout.ms", "60000".into()),
        // Three nodes share a small machine: 128 MB for the cleaner alone is too much of the heap.
        ("log.cleaner.dedupe.buffer.size", (4 << 20).to_string()),
        ("num.network.threads", "2".into()),
        ("num.io.threads", "4".into()),
        ("socket.send.buffer.bytes", (1 << 20).to_string()),
        ("socket.receive.buffer.bytes", (1 << 20).to_string()),
    ];
    let mut text = String::new();
    for (key, value) in own {
        let _ = writeln!(text, "{key}={value}");
    }
    for (key, value) in &config.properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}
