"""The native part of ksem."""

import os
from types import TracebackType
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Literal,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    final,
    overload,
)

from typing_extensions import disjoint_base

from ._types import ErrorCode, Guarantee, Headers, OutputRecord, Payload, Position, Report, StoredRecord

__all__ = [
    "ArrowBatch",
    "Attempt",
    "Batch",
    "Broker",
    "Call",
    "Calls",
    "Output",
    "Pipeline",
    "Record",
    "Records",
    "close_all",
    "config_reference",
    "error_codes",
    "next_logs",
    "open",
    "set_log_level",
    "version",
]

_D = TypeVar("_D")
_B = TypeVar("_B", bound="Broker")
_Handler = Callable[["Batch", "Output"], None]
_Until = Literal["stopped", "caught_up"]

def version() -> str:
    """Return ksem's version."""

def error_codes() -> List[ErrorCode]:
    """Return every error code with its number, class, retry, outcome, and a sentence about it."""

def config_reference() -> str:
    """Return an example configuration in TOML that lists and explains every field, with the defaults."""

def open(config: Union[str, os.PathLike[str], Mapping[str, Any]]) -> Pipeline:
    """Open a pipeline: check the configuration and the topics, join the group, make the producers.

    ``config`` is the path of a TOML file, a mapping with the same fields (``{"group": "g", "inputs": ["orders"],
    "kafka": {"bootstrap.servers": "localhost:9092"}}``), or a JSON text of such a mapping.

    Raises `KsemError`: ``config_invalid`` (with every problem of the configuration), ``broker_unavailable``,
    ``topic_unknown``, ``output_topic_missing``, ``not_authorized``, ``authentication_failed``,
    ``guarantee_unavailable``.
    """

def close_all() -> None: ...
def next_logs(timeout: float) -> List[Tuple[str, int, str]]: ...
def set_log_level(level: int) -> None: ...

@final
class Pipeline:
    """An open pipeline: one member of the consumer group, with its lanes.

    It may be used from several threads. ``with`` closes it; iterating over it polls until it is stopped. Calls that wait
    let other threads of Python run, and end within 200 ms when Ctrl-C is pressed: what they were about is given up, a
    batch of theirs comes again.

    Every method raises `KsemError`: ``misuse`` on a closed pipeline, and what ended the pipeline, such as
    ``offset_lost`` or ``producer_fenced``.
    """

    @property
    def instance_id(self) -> str:
        """The instance id, configured or found."""

    @property
    def guarantee(self) -> Guarantee:
        """The configured guarantee, which holds where a call names none."""

    @property
    def stopping(self) -> bool:
        """Whether it was stopped, has failed, or is closed: there are no more batches."""

    def poll(self, timeout: Optional[float] = None) -> Optional[Batch]:
        """Return the next batch, or ``None`` if none came within ``timeout`` seconds, or the pipeline is stopped.

        Without a timeout it waits for ever. A lane has one batch out at a time, so a caller that holds a batch of every
        lane gets no other. A batch that is let go unprocessed comes again.
        """

    def process(self, batch: Batch, guarantee: Union[Guarantee, str, None], handler: _Handler) -> Report:
        """Process one batch under the guarantee: begin, the handler, then commit or abort, and again as ``retry`` of
        the configuration says.

        ``handler(batch, out)`` runs on this thread. What it sends is kept until it returns, so a failed call leaves
        nothing. An ``Exception`` that it raises fails the attempt. Any other exception, such as ``KeyboardInterrupt``, is
        raised at once, and the batch comes again.

        Raises `HandlerError` when the attempts are used up: its ``__cause__`` is what the handler raised. The batch is not
        lost: it comes again with the next poll or the next start. Under at-most-once it is lost after one attempt:
        the report says so, and has the exception.
        """

    def run(self, handler: _Handler, until: _Until = "stopped") -> None:
        """Poll and process with every lane under the configured guarantee, until `stop` or an error.

        ``handler(batch, out)`` runs on this thread, one call at a time, while other lanes commit. With
        ``until="caught_up"`` it also ends when the group has committed what was in the inputs at the start.

        Raises the error that ended it. Where a handler had failed too often, ``__cause__`` is what it raised.
        """

    def begin(self, batch: Batch, guarantee: Union[Guarantee, str, None] = None) -> Attempt:
        """Begin an attempt at a batch, for callers with their own control flow.

        Raises `KsemError` as `process` does, and if the batch moved to another member meanwhile.
        """

    def publish(
        self,
        records: Union[Output, Iterable[Union[OutputRecord, Tuple[Any, ...]]]],
        guarantee: Union[Guarantee, str, None] = None,
    ) -> int:
        """Send records whose input is not Kafka: with ``acks`` 0 or 1, with ``acks=all``, or in one transaction over all
        topics. Return how many were acknowledged.

        ``records`` is an `Output`, which is empty afterwards, or an iterable of `OutputRecord`.

        Raises `KsemError`: ``delivery_failed``, ``commit_outcome_unknown``, ``record_invalid``, and what the topics refuse.
        """

    def stop(self) -> None:
        """Ask the pipeline to end: `run` returns when the batches in flight are done, and `poll` returns ``None``."""

    def close(self) -> None:
        """Leave the group and close the clients, within ``shutdown.deadline_ms``. Closing again does nothing.

        Raises `KsemError`: ``shutdown_deadline`` if the cluster did not let go in time, and the error that ended the
        pipeline if nobody has been told of it.
        """

    def metrics(self) -> Dict[str, int]:
        """Return the counters since the pipeline was opened, such as ``records_in``. ``busy_us`` is in microseconds."""

    def _process_calls(self, batch: Batch, guarantee: Union[Guarantee, str, None]) -> Calls[Report]: ...
    def _run_calls(self, until: str) -> Calls[None]: ...
    def __enter__(self) -> Pipeline: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __iter__(self) -> Pipeline: ...
    def __next__(self) -> Batch: ...

@final
class Batch:
    """Input records of one lane, in the order of their partitions. Never empty.

    Iterating gives `Record` views; ``batch[i]`` gives one. A column is a list with an entry for each record, made in
    one call. Everything may be kept beyond the batch.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Record: ...
    def __iter__(self) -> Records: ...
    @property
    def size(self) -> int:
        """Bytes of all keys and values."""

    @property
    def lane(self) -> int:
        """The lane that it belongs to."""

    def keys(self) -> List[Optional[bytes]]:
        """Return the keys; ``None`` is null."""

    def values(self) -> List[Optional[bytes]]:
        """Return the values; ``None`` is a tombstone."""

    def headers(self) -> List[List[Tuple[str, Optional[bytes]]]]:
        """Return the headers of each record, in order. Names may repeat."""

    def timestamps(self) -> List[Optional[int]]:
        """Return the timestamps in milliseconds since 1970; ``None`` where a record has none."""

    def partitions(self) -> List[int]:
        """Return the partitions."""

    def offsets(self) -> List[int]:
        """Return the offsets. They are sparse: control records and compaction take numbers."""

    def topics(self) -> List[str]:
        """Return the topics."""

    def positions(self) -> List[Position]:
        """Return the positions that are committed with this batch: last offset + 1, for each partition."""

    def to_arrow(self) -> ArrowBatch:
        """Return all columns in Arrow's memory, which pyarrow, polars and pandas take without a copy."""

    def release(self) -> None:
        """Let go of the batch unprocessed, now: it comes again. Does nothing where it was processed."""

@final
class Record:
    """An input record: a place in the memory of its batch, which it keeps."""

    @property
    def topic(self) -> str:
        """The topic that it was read from."""

    @property
    def partition(self) -> int:
        """The partition that it was read from."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def timestamp(self) -> Optional[int]:
        """Milliseconds since 1970, if it has a timestamp."""

    @property
    def key(self) -> Optional[bytes]:
        """The key, copied into a new object; ``None`` is null."""

    @property
    def value(self) -> Optional[bytes]:
        """The value, copied into a new object; ``None`` is a tombstone."""

    @property
    def key_view(self) -> Optional[memoryview]:
        """The key without a copy, read-only."""

    @property
    def value_view(self) -> Optional[memoryview]:
        """The value without a copy, read-only."""

    @property
    def headers(self) -> List[Tuple[str, Optional[bytes]]]:
        """The headers in order. Names may repeat, values may be null."""

    @overload
    def header(self, name: str, default: None = None) -> Optional[bytes]:
        """Return the last value of the header, or ``default`` where there is no such header."""

    @overload
    def header(self, name: str, default: _D) -> Union[bytes, None, _D]: ...

@final
class Records:
    """An iterator over the records of a batch."""

    def __iter__(self) -> Records: ...
    def __next__(self) -> Record: ...

@final
class Output:
    """Records to send: kept until the handler of their batch has returned, or until they are published.

    Payloads are bytes-like, or texts that become UTF-8; ``None`` is null.

    Every method raises `KsemError` with ``misuse`` once the batch has ended.
    """

    def __new__(cls) -> Output: ...
    def send(
        self,
        topic: str,
        key: Payload = None,
        value: Payload = None,
        headers: Optional[Headers] = None,
        partition: Optional[int] = None,
        timestamp: Optional[int] = None,
    ) -> None:
        """Send a record.

        Without a partition the key decides, as it does for Java's client (murmur2). ``timestamp`` is in milliseconds
        since 1970; without it, it is the time of sending.
        """

    def send_many(self, topic: str, values: Iterable[Payload], keys: Optional[Iterable[Payload]] = None) -> None:
        """Send a column of values, with a column of keys or without keys, in one call.

        Raises ``ValueError`` unless there are as many keys as values, and ``TypeError`` for what is no payload; nothing is
        sent then.
        """

    def forward(self, topic: str, index: int) -> None:
        """Send record ``index`` of the batch as it is, with key, value, headers and timestamp. Nothing is copied here.

        Raises ``IndexError`` where the batch has no such record.
        """

    def forward_many(self, topic: str, indices: Optional[Iterable[int]] = None) -> None:
        """Send the records with these indices as they are, or all of them."""

    def retry(self, index: int) -> None:
        """Have record ``index`` handled again: nothing of the batch is applied, and it is split around the record.

        When ``retry.max_attempts`` is used up, the record becomes a dead letter. Under at-most-once it is counted as lost.
        Raises ``IndexError`` where the batch has no such record.
        """

    def dead_letter(self, index: int, reason: str) -> None:
        """Set record ``index`` aside: it goes to ``dead_letter.topic`` together with what the batch sends.

        Raises ``IndexError`` where the batch has no such record.
        """

    def skip(self, index: int) -> None:
        """Have record ``index`` counted as done although nothing comes of it.

        Raises ``IndexError`` where the batch has no such record.
        """

    def __len__(self) -> int: ...

@final
class Attempt:
    """A batch between begin and commit.

    ``with`` commits at the end of its block, or aborts where the block raises. One that is let go is aborted.
    """

    @property
    def batch(self) -> Batch:
        """The batch."""

    @property
    def out(self) -> Output:
        """Where to send."""

    @property
    def ended(self) -> bool:
        """Whether it was committed or aborted."""

    @property
    def report(self) -> Optional[Report]:
        """What its end has reported."""

    def commit(self) -> Report:
        """Commit the outputs and the offsets, in the order of the guarantee.

        A report that says ``REDELIVERED`` is no error: nothing was applied, and the batch comes again.

        Raises `KsemError`: what ends the pipeline; ``misuse`` where the attempt has ended.
        """

    def abort(self, reason: str = "aborted by the caller") -> Report:
        """Abort: nothing is applied, and the batch comes again. Under at-most-once it is lost, and counted.

        Raises `KsemError` as `commit` does.
        """

    def __enter__(self) -> Attempt: ...
    def __exit__(
        self,
        _type: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None: ...

_R = TypeVar("_R")

@final
class Calls(Generic[_R]):
    """The calls of the handler, for `ksem.aio`."""

    def next(self) -> Optional[Call]: ...
    def finish(self, raised: Optional[BaseException] = None) -> _R: ...
    def give_up(self) -> None: ...

@final
class Call:
    """One call of the handler, for `ksem.aio`."""

    @property
    def batch(self) -> Batch: ...
    @property
    def out(self) -> Output: ...
    def succeed(self) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def give_up(self) -> None: ...

@final
class ArrowBatch:
    """A batch as Arrow columns: ``pyarrow.record_batch(it)``, ``polars.DataFrame(it)``, ``pandas.DataFrame.from_arrow(it)``.

    ===========  ==========================================  ====================================
    topic        dictionary of utf8
    partition    int32
    offset       int64
    timestamp    timestamp[ms, UTC]                          null where a record has none
    key          large_binary                                null is null
    value        large_binary                                null is a tombstone
    headers      large_list of struct(name utf8, value large_binary)
    ===========  ==========================================  ====================================
    """

    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: Optional[object] = None) -> Tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: Optional[object] = None) -> object: ...

@disjoint_base
class Broker:
    """An embedded Kafka broker. It is stopped when it is let go."""

    def __new__(
        cls,
        topics: Optional[Mapping[str, int]] = None,
        *,
        listen: str = "127.0.0.1:0",
        auto_create_topics: bool = True,
        default_partitions: int = 1,
    ) -> Broker:
        """Start it with these topics and their numbers of partitions. Port 0 takes any free port.

        Raises `KsemError` with ``listen_denied`` where it can't listen.
        """

    @property
    def bootstrap(self) -> str:
        """What to give a client as ``bootstrap.servers``."""

    def create_topic(self, name: str, partitions: int = 1) -> bool:
        """Create a topic; ``False`` if it exists."""

    def abort_transaction(self, transactional_id: str) -> bool:
        """Abort the open transaction and fence its producer, as its time-out would; ``False`` if none is open."""

    def committed_offset(self, group: str, topic: str, partition: int) -> Optional[int]:
        """Return the offset that a group has committed for a partition."""

    def end_offset(self, topic: str, partition: int) -> Optional[int]:
        """Return the offset that the next record of a partition will get."""

    def delete_records_before(self, topic: str, partition: int, offset: int) -> Optional[int]:
        """Move the start of a partition's log up to ``offset``, as retention does; return the new start."""

    def produce(self, records: Output, guarantee: Union[Guarantee, str, None] = None) -> int:
        """Write records (at-least-once, unless another guarantee is named); return how many were acknowledged.

        Raises `KsemError` as `Pipeline.publish` does.
        """

    def consume(
        self,
        topic: str,
        *,
        isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
        timeout: float = 30.0,
    ) -> List[StoredRecord]:
        """Return everything that is in a topic now, in the order of partitions and offsets.

        Raises `KsemError`: ``topic_unknown``, ``broker_unavailable`` where that takes longer than ``timeout`` seconds.
        """

    def stop(self) -> None:
        """Close the port and every connection, and wait until that is done."""

    def __enter__(self: _B) -> _B: ...
    def __exit__(self, *_exception: object) -> None: ...
