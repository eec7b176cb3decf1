//! Where a configuration comes from: a file, a JSON text, or a dictionary.

use std::path::PathBuf;

use ksem::error::Code;
use ksem::{Config, Guarantee};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::errors::{misuse, raise};

/// Returns an example that lists and explains every field, with the defaults.
#[pyfunction(name = "config_reference")]
pub(crate) fn reference() -> &'static str {
    Config::reference()
}

/// Reads a configuration.
pub(crate) fn read(config: &Bound<'_, PyAny>) -> PyResult<Config> {
    let py = config.py();
    let read = if let Ok(fields) = config.cast::<PyMapping>() {
        Config::from_json_str(&to_json(fields)?, "the configuration")
    } else if let Some(text) = json(config)? {
        Config::from_json_str(&text, "the configuration")
    } else {
        Config::from_toml_file(config.extract::<PathBuf>()?)
    };
    read.map_err(|error| raise(py, &ksem::Error::new(Code::ConfigInvalid, error.to_string())))
}

/// A text that begins like a JSON object is one, and so is an empty text: no file is called so.
fn json(config: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let Ok(text) = config.cast::<PyString>() else { return Ok(None) };
    let text = text.to_cow()?;
    let trimmed = text.trim_start();
    Ok((trimmed.is_empty() || trimmed.starts_with('{')).then(|| text.into_owned()))
}

fn to_json(fields: &Bound<'_, PyMapping>) -> PyResult<String> {
    let py = fields.py();
    let options = PyDict::new(py);
    // So that a path may be given as one.
    options.set_item("default", py.import(intern!(py, "os"))?.getattr(intern!(py, "fspath"))?)?;
    let plain = py.get_type::<PyDict>().call1((fields,))?;
    py.import(intern!(py, "json"))?.call_method(intern!(py, "dumps"), (plain,), Some(&options))?.extract()
}

/// Reads the name of a guarantee; `None` stands for the configured one.
pub(crate) fn guarantee(name: Option<&Bound<'_, PyString>>, configured: Guarantee) -> PyResult<Guarantee> {
    let Some(name) = name else { return Ok(configured) };
    let text = name.to_cow()?;
    text.parse().map_err(|error: ksem::UnknownGuarantee| misuse(name.py(), &error.to_string()))
}
