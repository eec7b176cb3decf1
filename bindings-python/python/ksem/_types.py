"""What is handed out by value: names, reports, positions, records to send."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

Payload = Union[bytes, bytearray, memoryview, str, None]
"""A key or a value to send: bytes, a text that becomes UTF-8, or ``None`` for null (a value that is a tombstone)."""

Headers = Union[Mapping[str, Payload], Sequence[Tuple[str, Payload]]]
"""Headers to send. Names may repeat in a sequence of pairs."""


class Guarantee(str, enum.Enum):
    """What a pipeline promises about each input record's effect. The name as a text will do everywhere."""

    AT_MOST_ONCE = "at_most_once"
    """No input record has two committed effects. What is lost is at most what was in flight."""
    AT_LEAST_ONCE = "at_least_once"
    """Every input record has an effect before its offset is committed; what is in flight may be repeated."""
    EXACTLY_ONCE = "exactly_once"
    """Outputs and input offsets appear together, once, or not at all, under ``read_committed``."""

    def __new__(cls, value: str) -> "Guarantee":
        # A text itself, so that it goes wherever its name does.
        made = str.__new__(cls, value)
        made._value_ = value
        return made

    def __str__(self) -> str:
        return str.__str__(self)


class Applied(str, enum.Enum):
    """What became of a batch."""

    APPLIED = "applied"
    """It took effect, and its offsets are committed."""
    LOST = "lost"
    """Its offsets are committed, and its effect is missing or partial (at-most-once only)."""
    REDELIVERED = "redelivered"
    """It was not applied; what still belongs to this member comes again with the next poll."""

    def __new__(cls, value: str) -> "Applied":
        # A text itself, so that it goes wherever its name does.
        made = str.__new__(cls, value)
        made._value_ = value
        return made

    def __str__(self) -> str:
        return str.__str__(self)


class Position(NamedTuple):
    """Where a partition goes on: behind its last processed record."""

    topic: str
    partition: int
    offset: int
    """The next offset to read."""
    leader_epoch: Optional[int]
    """The leader epoch of the last processed record, where the broker gave one."""


class OutputRecord(NamedTuple):
    """A record to publish: what :meth:`Output.send` takes, in that order."""

    topic: str
    key: Payload = None
    value: Payload = None
    headers: Optional[Headers] = None
    partition: Optional[int] = None
    timestamp: Optional[int] = None
    """Milliseconds since 1970; ``None`` is the time of sending."""


class StoredRecord(NamedTuple):
    """A record as :meth:`ksem.testing.Broker.consume` has read it."""

    topic: str
    partition: int
    offset: int
    timestamp: Optional[int]
    key: Optional[bytes]
    value: Optional[bytes]
    headers: List[Tuple[str, Optional[bytes]]]


class ErrorCode(NamedTuple):
    """A row of the table of errors."""

    code: str
    number: int
    class_: str
    retry: str
    outcome: str
    doc: str


@dataclass(frozen=True)
class Report:
    """What became of one batch."""

    applied: Applied
    guarantee: Guarantee
    """The guarantee under which it was processed."""
    records: int
    """Its input records."""
    outputs: int
    """Its output records that were acknowledged, without dead letters."""
    dead_lettered: int
    """Its input records that were set aside in the dead-letter topic."""
    skipped: int
    """Its input records that the handler skipped by a verdict."""
    retried: int
    """Its input records that were given to the handler again because it had failed, each time counted."""
    attempts: int
    """How often the handler was called for it."""
    offsets: List[Position]
    """The positions that were committed; empty if it was not applied."""
    took: float
    """Seconds from the first step to the last."""
    cause: Optional[str]
    """Why it was lost or not applied, in one line."""
    exception: Optional[BaseException] = field(default=None, compare=False)
    """What the handler raised, if the batch is lost for that."""


def make_report(applied: str, guarantee: str, *rest: Any) -> Report:
    """Make a report; the native part calls it."""
    return Report(Applied(applied), Guarantee(guarantee), *rest)
