"""Ctrl-C while native code waits, the end of the interpreter, and threads that go on meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Dict

import pytest
from conftest import Scene, copy

import ksem

if TYPE_CHECKING:
    Child = subprocess.Popen[str]

#: Seconds within which Ctrl-C has to be heard.
PROMISE = 0.2

PROGRAM = """
import sys, time
import ksem

pipe = ksem.open({config!r})

def handler(batch, out):
    out.forward_many({output!r})
    print("handled", flush=True)

try:
    print("waits", flush=True)
    {call}
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
{end}
"""


def start(config: Dict[str, Any], output: str, call: str, end: str = "pipe.close()") -> Child:
    program = PROGRAM.format(config=config, output=output, call=call, end=end)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def line(child: Child) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def interrupted(child: Child) -> float:
    """Presses Ctrl-C, and returns after how many seconds it was heard."""
    sent = time.time()
    child.send_signal(signal.SIGINT)
    word, when = line(child).split()
    assert word == "interrupted"
    return float(when) - sent


@pytest.mark.parametrize(
    "call",
    [
        "pipe.run(handler)",
        "pipe.poll()",
        "pipe.poll(60)",
        "list(pipe)",
        "pipe.run(lambda batch, out: None)",
    ],
)
def test_ctrl_c_ends_a_call_that_waits(scene: Scene, call: str) -> None:
    child = start(scene.config(), scene.output, call)
    assert line(child) == "waits"
    time.sleep(0.5)
    assert interrupted(child) < PROMISE
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")


def test_ctrl_c_ends_a_batch_whose_commit_waits(scene: Scene) -> None:
    # The transaction can't be committed, because its broker is away.
    with ksem.testing.Broker({scene.input: 1, scene.output: 1}) as broker:
        broker.fill(scene.input, ["a"])
        call = "pipe.process(pipe.poll(), None, lambda batch, out: (handler(batch, out), sys.stdin.readline()) and None)"
        config = broker.config(scene.group, scene.input, guarantee="exactly_once")
        child = start(config, scene.output, call, "import os; os._exit(0)")
        assert [line(child), line(child)] == ["waits", "handled"]
        broker.stop()
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(0.5)
        assert interrupted(child) < PROMISE
        child.communicate(timeout=30)


def test_a_pipeline_that_was_not_closed_does_not_hold_up_the_end(scene: Scene) -> None:
    scene.fill("a")
    child = start(scene.config(), scene.output, "pipe.run(handler, until='caught_up')", "")
    output, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert output.split() == ["waits", "handled"]
    assert scene.values() == [b"a"]
    # It has left the group: the next member has the partitions at once.
    scene.fill("b")
    started = time.monotonic()
    with scene.open() as pipe:
        pipe.run(copy(scene), until="caught_up")
    assert time.monotonic() - started < 20
    assert scene.values() == [b"a", b"b"]


def test_other_threads_go_on_while_native_code_waits(scene: Scene) -> None:
    with scene.open() as pipe:
        counted = 0
        stop = threading.Event()

        def count() -> None:
            nonlocal counted
            while not stop.is_set():
                counted += 1

        thread = threading.Thread(target=count)
        thread.start()
        before = counted
        assert pipe.poll(0.5) is None
        # How much is measured in the benchmark; here it is only seen that it was not nothing.
        assert counted - before > 1000
        stop.set()
        thread.join()
