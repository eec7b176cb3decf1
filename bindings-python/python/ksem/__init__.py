"""At-most-once, at-least-once and exactly-once read-process-write for Kafka.

    import ksem

    def handler(batch, out):
        out.send_many("invoices", batch.values(), batch.keys())
        out.forward_many("analytics")

    with ksem.open("pipeline.toml") as pipe:
        pipe.run(handler)

Times are in seconds, timestamps in milliseconds since 1970. Everything that fails raises a :class:`KsemError`.
:mod:`ksem.aio` has the same for ``asyncio``, :mod:`ksem.testing` a broker for tests.
"""

from ._errors import (
    ConfigError,
    DataError,
    HandlerError,
    InternalError,
    KsemError,
    TransactionError,
    UnavailableError,
)
from ._ksem import (
    ArrowBatch,
    Attempt,
    Batch,
    Output,
    Pipeline,
    Record,
    config_reference,
    error_codes,
    open,
    version,
)
from ._types import Applied, ErrorCode, Guarantee, Headers, OutputRecord, Payload, Position, Report

__version__: str = version()

__all__ = [
    "Applied",
    "ArrowBatch",
    "Attempt",
    "Batch",
    "ConfigError",
    "DataError",
    "ErrorCode",
    "Guarantee",
    "HandlerError",
    "Headers",
    "InternalError",
    "KsemError",
    "Output",
    "OutputRecord",
    "Payload",
    "Pipeline",
    "Position",
    "Record",
    "Report",
    "TransactionError",
    "UnavailableError",
    "config_reference",
    "error_codes",
    "open",
    "version",
]
