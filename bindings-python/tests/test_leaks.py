"""Rounds of everything, after which the memory is as before."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from conftest import Scene, copy, take

import ksem

#: Rounds that bring every cache to its size, and those that are measured. More are asked for from outside:
#: `KSEM_LEAK_ROUNDS=10000` is what was measured by hand.
WARM = 30
ROUNDS = int(os.environ.get("KSEM_LEAK_ROUNDS", "60"))
#: librdkafka keeps some of it for each client that was made; a pipeline has up to ten.
BYTES_A_ROUND = 24 * 1024


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


@needs_proc
def test_open_and_close(scene: Scene) -> None:
    config = scene.config(transactions={"lanes": 1, "in_flight": 1})

    def rounds(count: int) -> None:
        for _ in range(count):
            ksem.open(config).close()
        gc.collect()

    rounds(WARM)
    before = resident()
    rounds(ROUNDS)
    grown = resident() - before
    assert grown < ROUNDS * BYTES_A_ROUND, f"{grown / ROUNDS:.0f} bytes a round"


@needs_proc
def test_batches_and_exceptions(scene: Scene) -> None:
    values = [b"x" * 200] * 1000

    def once(batch: ksem.Batch, out: ksem.Output) -> None:
        out.send_many(scene.output, batch.values(), batch.keys())
        [record.value_view for record in batch]
        batch.headers()
        raise ValueError(batch)

    def rounds(count: int) -> None:
        for _ in range(count):
            with pytest.raises(ksem.HandlerError):
                pipe.process(take(pipe), None, once)
        gc.collect()

    with scene.open(retry={"max_attempts": 1}) as pipe:
        scene.broker.fill(scene.input, values, values)
        rounds(20)
        before = resident()
        rounds(100)
        grown = resident() - before
        # One batch has 400 kB of payload, and several times that in columns.
        assert grown < 20_000_000, f"{grown} bytes"
        pipe.process(take(pipe), None, copy(scene))
