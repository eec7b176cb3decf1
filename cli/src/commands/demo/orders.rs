//! The specification's example: orders become invoices and analytics.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ksem::{Batch, Config, Guarantee, HandlerResult, Output, Publisher};
use ksem_broker::EmbeddedBroker;
use ksem_testkit::reader::{Isolation, visit_topic};
use serde::{Deserialize, Serialize};

use crate::exit::{Done, Failure};

/// The three topics of one run, under a prefix of its own.
pub(super) struct Topics {
    pub(super) orders: String,
    pub(super) invoices: String,
    pub(super) analytics: String,
}

#[derive(Serialize, Deserialize)]
struct Order {
    order_id: u64,
    customer: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Invoice {
    order_id: u64,
    customer: String,
    total: String,
}

#[derive(Serialize, Deserialize)]
struct Sale {
    order_id: u64,
    cents: u64,
}

/// Two partitions show that order and offsets are kept for each of them.
const PARTITIONS: i32 = 2;

impl Topics {
    pub(super) fn create(broker: &EmbeddedBroker, run: &str) -> Self {
        let topics = Self::named(run);
        for topic in [&topics.orders, &topics.invoices, &topics.analytics] {
            broker.create_topic(topic, PARTITIONS);
        }
        topics
    }

    pub(super) fn named(run: &str) -> Self {
        let name = |what: &str| format!("{what}.{run}");
        Self { orders: name("orders"), invoices: name("invoices"), analytics: name("analytics") }
    }

    pub(super) fn config(&self, bootstrap: &str, run: &str, guarantee: Guarantee, state: &Path) -> Config {
        let mut config =
            Config { group: format!("demo.{run}"), inputs: vec![self.orders.clone()], guarantee, ..Config::default() };
        config.kafka.set("bootstrap.servers", bootstrap);
        config.transactions.state_dir = Some(state.to_owned());
        config
    }

    /// The handler: one invoice and one sale for each order.
    pub(super) fn handle(&self, batch: &Batch, output: &mut Output) -> HandlerResult {
        for record in batch.records() {
            let order: Order = serde_json::from_slice(record.value.unwrap_or_default())?;
            let (units, cents) = (order.cents / 100, order.cents % 100);
            let invoice =
                Invoice { order_id: order.order_id, customer: order.customer, total: format!("{units}.{cents:02}") };
            let sale = Sale { order_id: order.order_id, cents: order.cents };
            output.send(&self.invoices, record.key, Some(&serde_json::to_vec(&invoice)?));
            output.send(&self.analytics, record.key, Some(&serde_json::to_vec(&sale)?));
        }
        Ok(())
    }

    /// Counts how many orders miss an invoice or a sale, and how many have one twice.
    pub(super) fn count(&self, bootstrap: &str, sent: u64) -> Done<(u64, u64)> {
        let mut seen: BTreeMap<u64, [u32; 2]> = (0..sent).map(|id| (id, [0; 2])).collect();
        for (index, topic) in [&self.invoices, &self.analytics].into_iter().enumerate() {
            let count = |record: ksem_testkit::ReadRecord| {
                let value = record.value.unwrap_or_default();
                if let Ok(OrderId { order_id }) = serde_json::from_slice(&value) {
                    seen.entry(order_id).or_default()[index] += 1;
                }
            };
            visit_topic(bootstrap, topic, Isolation::ReadCommitted, Duration::from_secs(30), count)
                .map_err(|error| Failure::internal(format!("reading {topic} back: {error:#}")))?;
        }
        let lost = seen.values().filter(|counts| counts.contains(&0)).count() as u64;
        let repeated = seen.values().filter(|counts| counts.iter().any(|count| *count > 1)).count() as u64;
        Ok((lost, repeated))
    }
}

#[derive(Deserialize)]
struct OrderId {
    order_id: u64,
}

/// Sends orders with the numbers of the range.
pub(super) fn send(publisher: &Publisher, topic: &str, ids: std::ops::Range<u64>) -> Done {
    let mut output = Output::default();
    for order_id in ids {
        let order =
            Order { order_id, customer: format!("customer-{}", order_id % 97), cents: 100 + order_id * 7 % 9_900 };
        let value = serde_json::to_vec(&order).map_err(|error| Failure::internal(error.to_string()))?;
        output.send(topic, Some(order_id.to_string().as_bytes()), Some(&value));
    }
    publisher.publish(&output, Guarantee::AtLeastOnce)?;
    Ok(())
}

/// A publisher on the embedded broker.
pub(super) fn publisher(bootstrap: &str) -> Publisher {
    let mut config = Config::default();
    config.kafka.set("bootstrap.servers", bootstrap);
    Publisher::new(config, "demo-orders")
}
