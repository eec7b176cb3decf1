//! The asynchronous client library behind this crate's synchronous functions.

use std::future::Future;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use krafka::Kafka;
use tokio::runtime::Runtime;

/// Runs a future to its end on the crate's own runtime. It goes through a thread of its own, so that it also works
/// for a caller who is inside another runtime.
pub(crate) fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ksem-testkit")
            .enable_all()
            .build()
            .expect("a runtime for the testkit")
    });
    thread::scope(|scope| match scope.spawn(|| runtime.block_on(future)).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

pub(crate) async fn connect(bootstrap: &str) -> Result<Kafka> {
    Kafka::builder(bootstrap)
        .client_id("ksem-testkit")
        .request_timeout(Duration::from_secs(10))
        .connect()
        .await
        .with_context(|| format!("connecting to Kafka at {bootstrap}"))
}
