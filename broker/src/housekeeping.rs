//! What time does to a broker: transactions run out, and notes that the broker behind takes for its own tests are
//! thrown away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use krafka::testing::BrokerTransaction;

use crate::front::Shared;

const EVERY: Duration = Duration::from_millis(200);

/// Runs until the runtime ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut open = HashMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        shared.broker.clear_requests();
        let expired = expired(&shared, &mut open);
        for transactional_id in &expired {
            tracing::info!(transactional_id, "transaction timed out");
            shared.broker.abort_transaction(transactional_id);
        }
        if !expired.is_empty() {
            shared.appended.notify_waiters();
        }
    }
}

/// The transactional ids whose open transaction is older than the timeout its producer registered.
///
/// The broker behind does not note when a transaction began. It is young if it was not open at the last look, if its
/// producer has a new epoch, or if the id ended another one since.
fn expired(shared: &Shared, open: &mut HashMap<String, (i16, Instant)>) -> Vec<String> {
    let now = Instant::now();
    let mut ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
    shared.broker.with_state(|state| {
        state.list_offsets_lookups.clear();
        state.leave_group_members.clear();
        state.consumer_group_heartbeats.clear();
        state.share_session_closes.clear();
        let is_open = |id: &String| state.transactions.get(id).is_some_and(BrokerTransaction::is_open);
        open.retain(|id, _| is_open(id));
        ended.retain(|id, _| is_open(id));
        let mut expired = Vec::new();
        for (id, txn) in state.transactions.iter().filter(|(_, txn)| txn.is_open()) {
            let seen = open.entry(id.clone()).or_insert((txn.producer_epoch, now));
            if seen.0 != txn.producer_epoch {
                *seen = (txn.producer_epoch, now);
            }
            seen.1 = ended.get(id).map_or(seen.1, |at| seen.1.max(*at));
            let timeout = Duration::from_millis(u64::try_from(txn.transaction_timeout_ms).unwrap_or(0));
            if now.duration_since(seen.1) >= timeout {
                expired.push(id.clone());
            }
        }
        expired
    })
}
