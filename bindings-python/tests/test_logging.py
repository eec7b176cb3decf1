"""Log records go to logging."""

from __future__ import annotations

import logging
import time
from typing import Callable

import pytest
from conftest import Scene, copy, take


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def test_a_warning_goes_to_the_logger_ksem(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.fill("a")

    def once(batch: object, out: object, failed: list[int] = []) -> None:
        if not failed:
            failed.append(1)
            raise ValueError("the text of the failure")

    with scene.open() as pipe:
        pipe.process(take(pipe), None, once)
    wait_for(lambda: "the text of the failure" in caplog.text)
    record = next(record for record in caplog.records if "the text of the failure" in record.getMessage())
    assert record.name.startswith("ksem.")
    assert record.levelno == logging.WARNING
    assert scene.input in record.getMessage()


def test_levels_are_those_of_logging(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="ksem"), scene.open() as pipe:
        wait_for(lambda: any(record.levelno <= logging.INFO for record in caplog.records))
        scene.fill("a")
        pipe.process(take(pipe), None, copy(scene))
    assert all(record.name.startswith("ksem") for record in caplog.records if record.threadName == "ksem-logging")


def test_a_handler_of_logging_that_is_slow_holds_nothing_up(scene: Scene) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.05)

    logger = logging.getLogger("ksem")
    slow, level = Slow(), logger.level
    logger.addHandler(slow)
    logger.setLevel(logging.DEBUG)
    try:
        scene.fill(*range(50))
        with scene.open(batch={"max_records": 1}) as pipe:
            pipe.run(copy(scene), until="caught_up")
    finally:
        logger.removeHandler(slow)
        logger.setLevel(level)
    assert len(scene.values()) == 50
