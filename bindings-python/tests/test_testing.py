"""The broker for tests, and its fixture."""

from __future__ import annotations

import socket

import pytest

import ksem
from ksem.testing import Broker

pytest_plugins = ["pytester"]


def test_a_broker_of_its_own(ksem_broker: Broker) -> None:
    assert ksem_broker.create_topic("orders", 2)
    assert not ksem_broker.create_topic("orders", 2)
    ksem_broker.create_topic("invoices")
    assert ksem_broker.fill("orders", ["a", "b", "c"], [b"1", b"2", b"3"]) == 3
    stored = ksem_broker.consume("orders")
    assert sorted(record.value or b"" for record in stored) == [b"a", b"b", b"c"]
    assert sum(ksem_broker.end_offset("orders", partition) or 0 for partition in (0, 1)) == 3
    assert ksem_broker.end_offset("orders", 7) is None
    with ksem.open(ksem_broker.config("g", "orders", guarantee="exactly_once")) as pipe:
        pipe.run(lambda batch, out: out.forward_many("invoices"), until="caught_up")
    offsets = [ksem_broker.committed_offset("g", "orders", partition) for partition in (0, 1)]
    assert sum(offset or 0 for offset in offsets) == 3
    assert len(ksem_broker.consume("invoices")) == 3


def test_retention(ksem_broker: Broker) -> None:
    ksem_broker.create_topic("orders")
    ksem_broker.fill("orders", ["a", "b"])
    ksem_broker.fill("orders", ["c"])
    assert ksem_broker.delete_records_before("orders", 0, 2) == 2
    assert [record.value for record in ksem_broker.consume("orders")] == [b"c"]


def test_topics_and_an_address_may_be_given() -> None:
    with Broker({"orders": 3}) as broker:
        assert broker.end_offset("orders", 2) == 0
        with pytest.raises(ksem.ConfigError) as caught:
            Broker(listen=broker.bootstrap)
        assert caught.value.code == "listen_denied"
        host, port = broker.bootstrap.split(":")
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), timeout=1)
    with pytest.raises(ksem.ConfigError, match="stopped"):
        broker.create_topic("x")
    broker.stop()


def test_topics_that_are_not_there() -> None:
    with Broker(auto_create_topics=False) as broker, pytest.raises(ksem.ConfigError) as caught:
        broker.consume("nowhere")
    assert caught.value.code == "topic_unknown"
