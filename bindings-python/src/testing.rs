//! The embedded broker, for users' tests.

use std::time::{Duration, Instant};

use ksem::error::Code;
use ksem::{Config, Error, Isolation, Publisher, Seen, Tail, TailOptions};
use ksem_broker::{BrokerError, EmbeddedBroker};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyList, PyMapping};

use crate::config;
use crate::errors::{misuse, raise};
use crate::output::Output;
use crate::payload::{OwnHeader, to_bytes, to_pairs};
use crate::wait::{drop_elsewhere, wait};

/// An embedded Kafka broker.
#[pyclass(frozen, subclass, module = "ksem.testing")]
pub(crate) struct Broker {
    broker: Mutex<Option<EmbeddedBroker>>,
    bootstrap: String,
}

impl Broker {
    fn with<T>(&self, py: Python<'_>, ask: impl FnOnce(&EmbeddedBroker) -> T + Send) -> PyResult<T>
    where
        T: Send,
    {
        let answer = py.detach(|| self.broker.lock().as_ref().map(ask));
        answer.ok_or_else(|| misuse(py, "the broker is stopped"))
    }

    /// What a client needs to know.
    fn config(&self) -> Config {
        let mut config = Config::default();
        config.kafka.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let broker = self.broker.get_mut().take();
        Python::try_attach(|py| drop_elsewhere(py, broker));
    }
}

fn refused(error: &BrokerError) -> Error {
    Error::new(Code::ListenDenied, error.to_string())
}

#[pymethods]
impl Broker {
    #[new]
    #[pyo3(signature = (topics=None, *, listen="127.0.0.1:0", auto_create_topics=true, default_partitions=1))]
    fn new(
        py: Python<'_>,
        topics: Option<&Bound<'_, PyMapping>>,
        listen: &str,
        auto_create_topics: bool,
        default_partitions: i32,
    ) -> PyResult<Self> {
        let mut builder = EmbeddedBroker::builder()
            .listen(listen)
            .auto_create_topics(auto_create_topics)
            .default_partitions(default_partitions);
        for pair in topics.map(PyMappingMethods::items).transpose()?.into_iter().flatten() {
            let (name, partitions): (String, i32) = pair.extract()?;
            builder = builder.topic(name, partitions);
        }
        let broker = wait(py, move |_| builder.start().map_err(|error| refused(&error)))?;
        Ok(Self { bootstrap: broker.bootstrap().to_owned(), broker: Mutex::new(Some(broker)) })
    }

    #[getter]
    fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    #[pyo3(signature = (name, partitions=1))]
    fn create_topic(&self, py: Python<'_>, name: &str, partitions: i32) -> PyResult<bool> {
        self.with(py, |broker| broker.create_topic(name, partitions))
    }

    fn abort_transaction(&self, py: Python<'_>, transactional_id: &str) -> PyResult<bool> {
        self.with(py, |broker| broker.abort_transaction(transactional_id))
    }

    fn committed_offset(&self, py: Python<'_>, group: &str, topic: &str, partition: i32) -> PyResult<Option<i64>> {
        self.with(py, |broker| broker.committed_offset(group, topic, partition))
    }

    fn end_offset(&self, py: Python<'_>, topic: &str, partition: i32) -> PyResult<Option<i64>> {
        self.with(py, |broker| broker.end_offset(topic, partition))
    }

    fn delete_records_before(&self, py: Python<'_>, topic: &str, partition: i32, offset: i64) -> PyResult<Option<i64>> {
        self.with(py, |broker| broker.delete_records_before(topic, partition, offset))
    }

    #[pyo3(signature = (records, guarantee=None))]
    fn produce(
        &self,
        py: Python<'_>,
        records: &Bound<'_, Output>,
        guarantee: Option<&Bound<'_, pyo3::types::PyString>>,
    ) -> PyResult<u64> {
        let guarantee = config::guarantee(guarantee, ksem::Guarantee::AtLeastOnce)?;
        let publisher = Publisher::new(self.config(), "ksem-testing");
        let ended = || misuse(py, "the output belongs to a batch that has ended, or is being published");
        let content = records.get().take().ok_or_else(ended)?;
        let (mut content, sent) = wait(py, move |_| {
            let sent = publisher.publish(&content, guarantee);
            Ok((content, sent))
        })?;
        content.clear();
        records.get().put(content);
        sent.map_err(|error| raise(py, &error))
    }

    #[pyo3(signature = (topic, *, isolation="read_committed", timeout=30.0))]
    fn consume<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        isolation: &str,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyList>> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let isolation = [Isolation::ReadCommitted, Isolation::ReadUncommitted]
            .into_iter()
            .find(|known| known.name() == isolation)
            .ok_or_else(|| PyValueError::new_err("isolation is \"read_committed\" or \"read_uncommitted\""))?;
        let timeout = Duration::try_from_secs_f64(timeout).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let options = TailOptions { isolation, from_beginning: true, until_end: true, partition: None };
        let (config, name) = (self.config(), topic.to_owned());
        let read = wait(py, move |_| read(&config, &name, &options, timeout))?;
        let make = MAKE.import(py, "ksem._types", "StoredRecord")?;
        let records = read.iter().map(|record| {
            let headers: Vec<_> =
                record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let (key, value) = (to_bytes(py, record.key.as_deref()), to_bytes(py, record.value.as_deref()));
            let place = (record.partition, record.offset, record.timestamp);
            make.call1((topic, place.0, place.1, place.2, key, value, to_pairs(py, &headers)?))
        });
        PyList::new(py, records.collect::<PyResult<Vec<_>>>()?)
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let broker = py.detach(|| self.broker.lock().take());
        wait(py, move |_| {
            drop(broker);
            Ok(())
        })
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<Option<Py<PyBool>>> {
        self.stop(py).map(|()| None)
    }

    fn __repr__(&self) -> String {
        format!("<ksem.testing.Broker at {}>", self.bootstrap)
    }
}

/// A record that was read, with memory of its own.
struct Read {
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnHeader>,
}

fn read(config: &Config, topic: &str, options: &TailOptions, timeout: Duration) -> ksem::Result<Vec<Read>> {
    let until = Instant::now() + timeout;
    let mut tail = Tail::open(config, topic, options)?;
    let mut records = Vec::new();
    loop {
        let seen = tail.next(Duration::from_millis(100), |record| {
            let headers =
                record.headers().into_iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
            records.push(Read {
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        })?;
        if seen == Seen::End {
            records.sort_by_key(|record| (record.partition, record.offset));
            return Ok(records);
        }
        if Instant::now() >= until {
            return Err(Error::new(Code::BrokerUnavailable, "the end of the topic was not reached in time"));
        }
    }
}
