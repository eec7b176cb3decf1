"""An embedded Kafka broker for tests: in this process, in memory, up in milliseconds.

    from ksem.testing import Broker

    with Broker({"orders": 4, "invoices": 4}) as broker:
        broker.fill("orders", [b"1", b"2"])
        ...
        assert [record.value for record in broker.consume("invoices")] == [b"1", b"2"]

It knows transactions, ``read_committed``, fencing and group offsets. A consumer group has one member at a time, and
there is one node. What depends on more belongs on a real cluster.

With pytest, the fixture ``ksem_broker`` is a new broker for each test.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional

from . import _ksem
from ._types import Payload, StoredRecord

__all__ = ["Broker", "StoredRecord"]


class Broker(_ksem.Broker):
    """A broker that runs until it is stopped, or its ``with`` block ends."""

    def fill(self, topic: str, values: Iterable[Payload], keys: Optional[Iterable[Payload]] = None) -> int:
        """Write records to a topic, and return how many.

        The keys decide the partitions, as they do for Java's client. Raises ``ValueError`` unless there are as many
        keys as values.
        """
        records = _ksem.Output()
        records.send_many(topic, values, keys)
        return self.produce(records)

    def config(self, group: str, *inputs: str, **fields: Any) -> Dict[str, Any]:
        """Return a configuration for :func:`ksem.open`: of this broker, and with ``fields`` as they are named there."""
        return {"group": group, "inputs": list(inputs), "kafka": {"bootstrap.servers": self.bootstrap}, **fields}
