//! librdkafka's errors in ksem's words. The only place that knows both.

use std::ffi::CStr;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::discipline::Fault;
use crate::engine::ports::Failure;
use crate::error::{Code, Error};

/// Returns librdkafka's name for the error, such as `_TIMED_OUT`.
pub(crate) fn name(code: Kafka) -> String {
    // SAFETY: returns a static string for every code.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2name(code)) }.to_string_lossy().into_owned()
}

/// Returns librdkafka's sentence for the error.
pub(crate) fn text(code: Kafka) -> String {
    // SAFETY: returns a static string for every code.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }.to_string_lossy().into_owned()
}

/// What an error means where nothing more is known than its code.
pub(crate) fn classify(code: Kafka) -> (Code, Fault) {
    use Kafka::{
        RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
        RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
        RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
        RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
    };
    match code {
        RD_KAFKA_RESP_ERR__FENCED | RD_KAFKA_RESP_ERR_PRODUCER_FENCED | RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH => {
            (Code::ProducerFenced, Fault::Fenced)
        }
        RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID => (Code::ProducerFenced, Fault::Revoked),
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
        | RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
        | RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS
        | RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH
        | RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH
        | RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST => (Code::PartitionRevoked, Fault::Revoked),
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED => (Code::NotAuthorized, Fault::Permanent),
        RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED | RD_KAFKA_RESP_ERR__AUTHENTICATION | RD_KAFKA_RESP_ERR__SSL => {
            (Code::AuthenticationFailed, Fault::Transient)
        }
        RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        | RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION => (Code::OutputTopicMissing, Fault::Permanent),
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
        | RD_KAFKA_RESP_ERR_INVALID_RECORD
        | RD_KAFKA_RESP_ERR_INVALID_MSG
        | RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP
        | RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE
        | RD_KAFKA_RESP_ERR_POLICY_VIOLATION => (Code::RecordInvalid, Fault::Permanent),
        RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE
        | RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION
        | RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT => (Code::GuaranteeUnavailable, Fault::Permanent),
        RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE | RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => {
            (Code::OffsetLost, Fault::Permanent)
        }
        _ => (Code::BrokerUnavailable, Fault::Transient),
    }
}

/// Makes an error of a code and the place where it happened.
pub(crate) fn failure(code: Kafka, doing: &str) -> Failure {
    let (ksem, fault) = classify(code);
    Failure::new(fault, error(ksem, code, doing))
}

pub(crate) fn error(ksem: Code, code: Kafka, doing: &str) -> Error {
    Error::new(ksem, format!("{doing}: {}", text(code))).with("kafka", name(code))
}

/// An owned `rd_kafka_error_t`.
pub(crate) struct RichError {
    pub(crate) code: Kafka,
    pub(crate) fatal: bool,
    pub(crate) retriable: bool,
    pub(crate) requires_abort: bool,
    text: String,
}

impl RichError {
    /// Takes the error that a call returned; null means success.
    ///
    /// # Safety
    /// `raw` is null or an error that nobody else frees.
    pub(crate) unsafe fn take(raw: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if raw.is_null() {
            return Ok(());
        }
        // SAFETY: it is not null, it is ours, and the text is copied before it is destroyed.
        unsafe {
            let error = Self {
                code: sys::rd_kafka_error_code(raw),
                fatal: sys::rd_kafka_error_is_fatal(raw) != 0,
                retriable: sys::rd_kafka_error_is_retriable(raw) != 0,
                requires_abort: sys::rd_kafka_error_txn_requires_abort(raw) != 0,
                text: CStr::from_ptr(sys::rd_kafka_error_string(raw)).to_string_lossy().into_owned(),
            };
            sys::rd_kafka_error_destroy(raw);
            Err(error)
        }
    }

    /// Makes the failure of a transactional call before the transaction is being committed.
    pub(crate) fn failure(self, doing: &str) -> Failure {
        let (mut ksem, by_code) = classify(self.code);
        let fault = match by_code {
            Fault::Fenced => Fault::Fenced,
            _ if self.fatal => Fault::Fatal,
            Fault::Permanent | Fault::Revoked => by_code,
            _ if self.requires_abort => Fault::Abortable,
            _ if self.retriable => Fault::Transient,
            other => other,
        };
        if ksem == Code::BrokerUnavailable && !self.retriable {
            ksem = Code::TransactionFailed;
        }
        Failure::new(fault, self.error(ksem, doing))
    }

    pub(crate) fn error(&self, ksem: Code, doing: &str) -> Error {
        Error::new(ksem, format!("{doing}: {}", self.text)).with("kafka", name(self.code))
    }
}
