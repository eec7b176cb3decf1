//! The embedded broker, for tests of programs that use ksem.

use std::ffi::{CString, c_char};

use ::ksem_broker::EmbeddedBroker;
use ksem::error::{Code, Error};

use crate::boundary::{c_text, guard, out, value};
use crate::constants::ksem_status;
use crate::error::ksem_error;

/// A Kafka broker inside this process, in memory, for tests. A group has one member at a time, and transactions do not time
/// out. Free it with `ksem_broker_free`.
pub struct ksem_broker {
    broker: EmbeddedBroker,
    bootstrap: CString,
}

/// Starts a broker. `listen` is "host:port"; NULL takes a free port of the loopback interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_start(
    listen: *const c_char,
    broker: *mut *mut ksem_broker,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let broker = out(broker, Some("broker"))?;
        let listen = if listen.is_null() { "127.0.0.1:0" } else { text!(listen)? };
        let started = EmbeddedBroker::builder().listen(listen).start();
        let started = started.map_err(|error| Error::new(Code::ListenDenied, error.to_string()))?;
        broker.put(ksem_broker { bootstrap: c_text(started.bootstrap()), broker: started });
        Ok(())
    })
}

/// Returns what to set as `bootstrap.servers`. It lives as long as the broker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_bootstrap(broker: *const ksem_broker) -> *const c_char {
    value(c"".as_ptr(), || Ok(borrow!(broker)?.bootstrap.as_ptr()))
}

/// Creates a topic; one that exists is left as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_create_topic(
    broker: *const ksem_broker,
    topic: *const c_char,
    partitions: i32,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        borrow!(broker)?.broker.create_topic(text!(topic)?, partitions.max(1));
        Ok(())
    })
}

/// Returns the offset that the next record of a partition gets; -1 if there is no such partition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_end_offset(
    broker: *const ksem_broker,
    topic: *const c_char,
    partition: i32,
) -> i64 {
    value(-1, || Ok(borrow!(broker)?.broker.end_offset(text!(topic)?, partition).unwrap_or(-1)))
}

/// Returns the offset that a group has committed for a partition; -1 if it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_committed_offset(
    broker: *const ksem_broker,
    group: *const c_char,
    topic: *const c_char,
    partition: i32,
) -> i64 {
    value(-1, || {
        let broker = &borrow!(broker)?.broker;
        Ok(broker.committed_offset(text!(group)?, text!(topic)?, partition).unwrap_or(-1))
    })
}

/// Stops a broker and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_broker_free(broker: *mut ksem_broker) {
    release!(broker);
}
