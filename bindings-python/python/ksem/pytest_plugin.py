"""The pytest fixture ``ksem_broker``; pytest finds it by itself where ksem is installed."""

from __future__ import annotations

from typing import Iterator

import pytest

from .testing import Broker


@pytest.fixture
def ksem_broker() -> Iterator[Broker]:
    """Return a new embedded Kafka broker, which is stopped after the test."""
    with Broker() as broker:
        yield broker
