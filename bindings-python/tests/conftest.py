"""What the tests share. They run against the embedded broker."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Iterator

import pytest

import ksem
from ksem.testing import Broker

_names = itertools.count()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


class Scene:
    """Topics and a group of their own."""

    def __init__(self, broker: Broker, partitions: int = 1) -> None:
        number = next(_names)
        self.broker = broker
        self.group = f"group-{number}"
        self.input, self.output, self.other = (f"{name}-{number}" for name in ("orders", "invoices", "analytics"))
        broker.create_topic(self.input, partitions)
        broker.create_topic(self.output, 1)
        broker.create_topic(self.other, 1)

    def config(self, **fields: Any) -> Dict[str, Any]:
        fields.setdefault("guarantee", "exactly_once")
        fields.setdefault("retry", {"max_attempts": 2, "backoff_ms": 1, "max_backoff_ms": 2})
        # So that a batch has what a test has written in one go.
        fields.setdefault("batch", {"linger_ms": 100})
        return self.broker.config(self.group, self.input, **fields)

    def open(self, **fields: Any) -> ksem.Pipeline:
        return ksem.open(self.config(**fields))

    def fill(self, *values: Any) -> None:
        texts = [str(value) for value in values]
        assert self.broker.fill(self.input, texts, [f"key-{text}" for text in texts]) == len(texts)

    def values(self, topic: str = "") -> list[Any]:
        return [record.value for record in self.broker.consume(topic or self.output)]

    def committed(self) -> Any:
        return self.broker.committed_offset(self.group, self.input, 0)


@pytest.fixture
def scene(broker: Broker) -> Scene:
    return Scene(broker)


def take(pipe: ksem.Pipeline, timeout: float = 20.0) -> ksem.Batch:
    """The next batch, which has to come."""
    batch = pipe.poll(timeout)
    assert batch is not None
    return batch


def copy(scene: Scene) -> Any:
    """A handler that sends every value on."""

    def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        out.send_many(scene.output, batch.values(), batch.keys())

    return handler
