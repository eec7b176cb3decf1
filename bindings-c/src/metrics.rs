//! The counters of a pipeline at one moment, by their names in the core.

use std::ffi::{CString, c_char};

use ksem::Metrics;
use ksem::error::{Code, Error, Result};

use crate::boundary::{c_text, misuse, value};

/// The counters at one moment. Free it with `ksem_metrics_free`.
pub struct ksem_metrics(Vec<(CString, u64)>);

impl ksem_metrics {
    /// Takes the names from the core, so that a new counter needs nothing here.
    pub(crate) fn new(metrics: &Metrics) -> Result<Self> {
        let fields = serde_json::to_value(metrics)
            .map_err(|error| Error::new(Code::Internal, "the counters can't be listed").caused_by(error))?;
        let fields = fields.as_object().into_iter().flatten();
        Ok(Self(fields.map(|(name, value)| (c_text(name), value.as_u64().unwrap_or_default())).collect()))
    }

    fn at(&self, index: usize) -> Result<&(CString, u64)> {
        self.0.get(index).ok_or_else(|| misuse("no such counter"))
    }
}

/// Returns how many counters there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_metrics_len(metrics: *const ksem_metrics) -> usize {
    value(0, || Ok(borrow!(metrics)?.0.len()))
}

/// Returns a counter's name; NULL if there is no such one. Lives as long as the metrics.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_metrics_name(metrics: *const ksem_metrics, index: usize) -> *const c_char {
    value(std::ptr::null(), || Ok(borrow!(metrics)?.at(index)?.0.as_ptr()))
}

/// Returns a counter's value; 0 if there is no such one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_metrics_value(metrics: *const ksem_metrics, index: usize) -> u64 {
    value(0, || Ok(borrow!(metrics)?.at(index)?.1))
}

/// Returns the value of a counter by its name, such as `records_in`; 0 if there is no such one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_metrics_get(metrics: *const ksem_metrics, name: *const c_char) -> u64 {
    value(0, || {
        let (metrics, name) = (borrow!(metrics)?, text!(name)?);
        let found = metrics.0.iter().find(|(known, _)| known.as_bytes() == name.as_bytes());
        Ok(found.map_or(0, |(_, value)| *value))
    })
}

/// Frees metrics. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_metrics_free(metrics: *mut ksem_metrics) {
    release!(metrics);
}
