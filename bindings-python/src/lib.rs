//! The native part of the Python package `ksem`.
//!
//! It translates and waits; what is promised is decided in the crate `ksem`. `python/ksem/_ksem.pyi`
//! says what each class and function does, for users and for their type checkers.

mod arrow;
mod attempt;
mod batch;
mod calls;
mod config;
mod errors;
mod logs;
mod output;
mod payload;
mod pipeline;
mod record;
mod report;
mod testing;
mod wait;

use pyo3::prelude::*;

/// Returns ksem's version.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Returns every error code.
#[pyfunction]
fn error_codes(py: Python<'_>) -> PyResult<Bound<'_, pyo3::types::PyList>> {
    errors::table(py)
}

#[pymodule]
fn _ksem(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    module.add_function(wrap_pyfunction!(error_codes, module)?)?;
    module.add_function(wrap_pyfunction!(config::reference, module)?)?;
    module.add_function(wrap_pyfunction!(pipeline::open, module)?)?;
    module.add_function(wrap_pyfunction!(pipeline::close_all, module)?)?;
    module.add_function(wrap_pyfunction!(logs::next_logs, module)?)?;
    module.add_function(wrap_pyfunction!(logs::set_log_level, module)?)?;
    module.add_class::<pipeline::Pipeline>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<record::Record>()?;
    module.add_class::<record::Records>()?;
    module.add_class::<output::Output>()?;
    module.add_class::<attempt::Attempt>()?;
    module.add_class::<calls::Calls>()?;
    module.add_class::<calls::Call>()?;
    module.add_class::<arrow::ArrowBatch>()?;
    module.add_class::<testing::Broker>()
}
