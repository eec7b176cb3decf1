"""The conformance suite's driver: that it speaks. What it says is judged by the suite."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from conftest import Scene

import ksem

DRIVER = Path(__file__).resolve().parents[2] / "tests" / "drivers" / "python" / "driver.py"


class Driver:
    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.child = subprocess.Popen([sys.executable, str(DRIVER)], stdin=pipe, stdout=pipe, text=True)
        self.last = 0

    def tell(self, do: str, **fields: Any) -> None:
        assert self.child.stdin is not None
        self.last += 1
        self.child.stdin.write(json.dumps({"id": self.last, "do": do, **fields}) + "\n")
        self.child.stdin.flush()

    def hear(self) -> Dict[str, Any]:
        assert self.child.stdout is not None
        heard: Dict[str, Any] = json.loads(self.child.stdout.readline())
        return heard

    def ask(self, do: str, **fields: Any) -> Dict[str, Any]:
        self.tell(do, **fields)
        heard = self.hear()
        assert heard.pop("id") == self.last
        return heard


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    with driver.child:
        yield driver
        assert driver.child.stdin is not None
        driver.child.stdin.close()
        assert driver.child.wait(30) == 0


def test_words(driver: Driver) -> None:
    assert driver.ask("hello") == {"ok": {"language": "python", "version": ksem.version(), "protocol": 1}}
    codes = driver.ask("errors")["ok"]["errors"]
    row = {"code": "misuse", "number": 1008, "class": "config", "retry": "never", "outcome": "not_applied"}
    assert row in codes
    assert "broken" in driver.ask("dance")
    assert driver.ask("open", pipe="p", config_text="{")["error"]["code"] == "config_invalid"
    assert driver.ask("exit") == {"ok": {}}


def test_a_pipeline(scene: Scene, driver: Driver) -> None:
    scene.fill("a")
    value = base64.b64encode(b"a").decode()
    handler = [
        {"step": "copy", "topic": scene.output},
        {"step": "pause", "at": "here"},
        {"step": "fail", "text": "not yet", "calls": [1, 2], "value": value},
    ]
    assert driver.ask("open", pipe="p", config=scene.config())["ok"]["instance_id"]
    assert driver.ask("poll", pipe="p", batch="b", timeout_ms=20000, columns=True)["ok"]["values"] == [value]
    driver.tell("process", pipe="p", batch="b", guarantee="exactly_once", handler=handler)
    assert driver.hear() == {"event": "paused", "at": "here", "id": 3, "call": 1, "records": 1}
    driver.tell("resume", at="here")
    heard = [driver.hear() for _ in range(3)]
    assert {"event": "paused", "at": "here", "id": 3, "call": 2, "records": 1} in heard
    error = next(each["error"] for each in heard if "error" in each)
    assert (error["code"], error["thrown"]) == ("handler_failed", "not yet")
    assert driver.ask("poll", pipe="p", batch="b", timeout_ms=20000) == {"ok": {"records": 1}}
    assert driver.ask("begin", pipe="p", batch="b", guarantee="exactly_once", attempt="t") == {"ok": {}}
    driver.ask("send", attempt="t", records=[{"topic": scene.output, "fill": 3}])
    assert driver.ask("commit", attempt="t")["ok"]["offsets"] == [[scene.input, 0, 1]]
    assert driver.ask("publish", pipe="p", guarantee="at_least_once", records=[{"topic": scene.output}]) == {
        "ok": {"records": 1}
    }
    assert driver.ask("metrics", pipe="p")["ok"]["records_in"] == 1
    assert driver.ask("close", pipe="p") == {"ok": {}}
    assert driver.ask("poll", pipe="p", batch="b", timeout_ms=1)["error"]["code"] == "misuse"
    assert scene.values() == [b"xxx", None]
