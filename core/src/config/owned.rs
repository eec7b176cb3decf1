//! The librdkafka properties that ksem sets itself: a guarantee holds only with ksem's own values.

/// A property that `[kafka]` refuses.
struct Owned {
    name: &'static str,
    /// ksem's own field for the same thing.
    field: Option<&'static str>,
    why: &'static str,
}

/// Why a pass-through of the property `name` is refused and what to set instead; `None` when it isn't.
pub(super) fn refusal(name: &str) -> Option<String> {
    let (field, why) = match OWNED.iter().find(|owned| owned.name == name) {
        Some(owned) => (owned.field, owned.why),
        None if name.ends_with("_cb") => (None, CODE),
        None => return None,
    };
    Some(match field {
        Some(field) => format!("{why}; remove `{name}` and set {field}"),
        None => format!("{why}; remove `{name}`"),
    })
}

/// The names that are refused one by one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OWNED.iter().map(|owned| owned.name)
}

const fn owned(name: &'static str, field: &'static str, why: &'static str) -> Owned {
    Owned { name, field: Some(field), why }
}

const fn internal(name: &'static str, why: &'static str) -> Owned {
    Owned { name, field: None, why }
}

const CODE: &str = "a callback or pointer can't be set from a configuration";
const COMMITS: &str = "ksem commits offsets itself, at the point that the guarantee needs";
const PRODUCES: &str = "the guarantee decides how a producer retries and orders records";
const CLASSIC: &str = "ksem speaks the classic group protocol";
const TIMEOUT: &str = "ksem keeps a record's delivery shorter than its transaction";
const QUEUES: &str = "ksem serves librdkafka's queues itself";

const GUARANTEE: &str = "`guarantee`";
const INSTANCE: &str = "`transactions.instance_id`";
const STRATEGY: &str = "`rebalance.strategy`";
const ACKS: &str = "`at_most_once.acks` (the other guarantees always wait for all replicas)";
const TRANSACTION: &str = "`transactions.timeout_ms`";

const OWNED: &[Owned] = &[
    owned("metadata.broker.list", "`kafka.bootstrap.servers`", "this is only an alias"),
    owned("group.id", "`group`", "ksem names the consumer group itself"),
    owned("group.instance.id", INSTANCE, "ksem derives the member's name from the instance's"),
    owned("group.protocol", STRATEGY, CLASSIC),
    owned("group.protocol.type", STRATEGY, CLASSIC),
    owned("group.remote.assignor", STRATEGY, CLASSIC),
    owned("partition.assignment.strategy", STRATEGY, "ksem has to know how partitions are taken away"),
    owned("enable.auto.commit", GUARANTEE, COMMITS),
    owned("auto.commit.enable", GUARANTEE, COMMITS),
    owned("auto.commit.interval.ms", GUARANTEE, COMMITS),
    owned("enable.auto.offset.store", GUARANTEE, COMMITS),
    owned("offset.store.method", GUARANTEE, COMMITS),
    owned("offset.store.path", GUARANTEE, COMMITS),
    owned("offset.store.sync.interval.ms", GUARANTEE, COMMITS),
    owned("isolation.level", GUARANTEE, "ksem always reads with read_committed"),
    owned("auto.offset.reset", "`start_from` and `on_lost_offsets`", "ksem never resets an offset silently"),
    internal("enable.partition.eof", "it moves the position behind records that were not read"),
    owned("queued.max.messages.kbytes", "`fetch.max_bytes`", "ksem divides its memory over the lanes"),
    owned("transactional.id", INSTANCE, "ksem names the transactional producer of each lane"),
    owned("transaction.timeout.ms", TRANSACTION, "ksem derives other timeouts from the transaction's"),
    owned("message.timeout.ms", TRANSACTION, TIMEOUT),
    owned("delivery.timeout.ms", TRANSACTION, TIMEOUT),
    owned("acks", ACKS, PRODUCES),
    owned("request.required.acks", ACKS, PRODUCES),
    owned("enable.idempotence", GUARANTEE, PRODUCES),
    owned("enable.gapless.guarantee", GUARANTEE, PRODUCES),
    owned("retries", GUARANTEE, PRODUCES),
    owned("message.send.max.retries", GUARANTEE, PRODUCES),
    owned("queuing.strategy", GUARANTEE, PRODUCES),
    owned("queue.buffering.backpressure.threshold", GUARANTEE, PRODUCES),
    internal("delivery.report.only.error", "ksem waits for the report of every record"),
    internal("enabled_events", QUEUES),
    internal("log.queue", QUEUES),
    internal("consume.callback.max.messages", QUEUES),
    internal("interceptors", CODE),
    internal("plugin.library.paths", "a plugin could change what is sent"),
    internal("opaque", CODE),
    internal("default_topic_conf", CODE),
    internal("msg_order_cmp", CODE),
    internal("ssl_key", "a pointer can't be set from a configuration: use `ssl.key.pem`"),
    internal("ssl_certificate", "a pointer can't be set from a configuration: use `ssl.certificate.pem`"),
    internal("ssl_ca", "a pointer can't be set from a configuration: use `ssl.ca.pem`"),
    internal("ssl_engine_callback_data", CODE),
];
