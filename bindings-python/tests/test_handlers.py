"""Handlers that raise."""

from __future__ import annotations

import pickle
import traceback
from typing import Any, List

import pytest
from conftest import Scene, copy, take

import ksem

RETRIED = [ksem.Guarantee.AT_LEAST_ONCE, ksem.Guarantee.EXACTLY_ONCE]


class Thrown(Exception):
    pass


class Failing:
    """Sends everything, and then raises so often."""

    def __init__(self, scene: Scene, times: int, raised: BaseException) -> None:
        self.scene, self.left, self.raised = scene, times, raised

    def __call__(self, batch: ksem.Batch, out: ksem.Output) -> None:
        out.forward_many(self.scene.output)
        if self.left > 0:
            self.left -= 1
            self.line_that_raises()

    def line_that_raises(self) -> None:
        raise self.raised


def names(error: BaseException) -> List[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("guarantee", RETRIED)
def test_verdicts(scene: Scene, guarantee: ksem.Guarantee) -> None:
    scene.fill("a", "b", "c", "d")

    def judge(batch: ksem.Batch, out: ksem.Output) -> None:
        for index, value in enumerate(batch.values()):
            if value == b"b":
                out.skip(index)
            elif value == b"c" and len(batch) > 1:
                out.retry(index)
            else:
                out.forward(scene.output, index)
        for call in (out.skip, out.retry, lambda index: out.dead_letter(index, "why")):
            with pytest.raises(IndexError):
                call(len(batch))

    with scene.open() as pipe:
        report = pipe.process(take(pipe), guarantee, judge)
        assert (report.skipped, report.dead_lettered, report.attempts) == (1, 0, 4)
        assert report.retried == 4
    assert scene.values() == [b"a", b"c", b"d"]


@pytest.mark.parametrize("guarantee", RETRIED)
def test_a_batch_is_tried_again(scene: Scene, guarantee: ksem.Guarantee) -> None:
    scene.fill("a", "b")
    with scene.open() as pipe:
        report = pipe.process(take(pipe), guarantee, Failing(scene, 1, Thrown("once")))
        assert (report.applied, report.attempts, report.outputs) == ("applied", 2, 2)
        assert report.exception is None
        assert pipe.metrics()["handler_failures"] == 1
    assert scene.values() == [b"a", b"b"]


@pytest.mark.parametrize("guarantee", RETRIED)
def test_the_callers_own_exception_comes_back_and_a_second_attempt_succeeds(
    scene: Scene, guarantee: ksem.Guarantee
) -> None:
    scene.fill("a", "b")
    thrown = Thrown("order 17 has no price")
    with scene.open() as pipe:
        batch = take(pipe)
        with pytest.raises(ksem.HandlerError) as caught:
            pipe.process(batch, guarantee, Failing(scene, 2, thrown))
        error = caught.value
        assert error.__cause__ is thrown
        assert "line_that_raises" in names(thrown)
        assert (error.code, error.number, error.class_) == ("handler_failed", 4001, "handler")
        assert (error.retry, error.outcome) == ("never", "not_applied")
        assert "order 17 has no price" in str(error) and "order 17 has no price" in error.message
        assert scene.input in error.context["batch"]
        assert scene.committed() is None

        again = take(pipe)
        assert again.offsets() == batch.offsets()
        assert pipe.process(again, guarantee, copy(scene)).applied is ksem.Applied.APPLIED
    assert scene.values() == [b"a", b"b"]
    assert scene.committed() == 2


def test_a_batch_that_is_lost_has_its_exception(scene: Scene) -> None:
    scene.fill("a")
    thrown = Thrown("gone")
    with scene.open(guarantee="at_most_once") as pipe:
        report = pipe.process(take(pipe), "at-most-once", Failing(scene, 1, thrown))
        assert report.applied is ksem.Applied.LOST
        assert report.exception is thrown
        assert "gone" in str(report.cause)
        assert pipe.metrics()["records_lost"] == 1
    assert scene.values() == []


@pytest.mark.parametrize("guarantee", RETRIED)
def test_a_run_ends_with_the_callers_own_exception_and_nothing_is_lost(
    broker: ksem.testing.Broker, guarantee: ksem.Guarantee
) -> None:
    scene = Scene(broker, partitions=4)
    scene.fill(*range(100))
    thrown = Thrown("no more")
    with scene.open(guarantee=guarantee) as pipe, pytest.raises(ksem.HandlerError) as caught:
        pipe.run(Failing(scene, 1_000_000, thrown))
    assert caught.value.__cause__ is thrown
    assert scene.values() == []
    with scene.open(guarantee=guarantee) as pipe:
        pipe.run(copy(scene), until="caught_up")
    assert sorted(scene.values()) == sorted(str(value).encode() for value in range(100))


def test_a_run_goes_on_after_a_failure(scene: Scene) -> None:
    scene.fill("a", "b")
    with scene.open() as pipe:
        pipe.run(Failing(scene, 1, Thrown("once")), until="caught_up")
        assert pipe.metrics()["handler_failures"] == 1
    assert scene.values() == [b"a", b"b"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt("ctrl"), SystemExit(3), GeneratorExit()])
def test_what_is_no_exception_is_raised_at_once_and_the_batch_comes_again(
    scene: Scene, raised: BaseException
) -> None:
    scene.fill("a")
    with scene.open() as pipe:
        with pytest.raises(type(raised)) as caught:
            pipe.process(take(pipe), None, Failing(scene, 1, raised))
        assert caught.value is raised
        assert pipe.metrics()["handler_failures"] <= 1
        assert pipe.process(take(pipe), None, copy(scene)).applied is ksem.Applied.APPLIED
    assert scene.values() == [b"a"]


def test_what_is_no_exception_ends_a_run(scene: Scene) -> None:
    scene.fill("a")
    with scene.open() as pipe, pytest.raises(KeyboardInterrupt):
        pipe.run(Failing(scene, 1, KeyboardInterrupt()))
    with scene.open() as pipe:
        pipe.run(copy(scene), until="caught_up")
    assert scene.values() == [b"a"]


def test_an_asynchronous_handler_is_not_taken_for_one_that_has_succeeded(scene: Scene) -> None:
    scene.fill("a")

    async def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        raise AssertionError("never called")

    with scene.open() as pipe:
        with pytest.raises(TypeError, match="ksem.aio"):
            pipe.process(take(pipe), None, handler)  # type: ignore[arg-type]
        assert pipe.process(take(pipe), None, copy(scene)).records == 1
    assert scene.values() == [b"a"]


def test_a_handler_may_raise_an_error_of_ksems_own(scene: Scene) -> None:
    scene.fill("a")

    def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        ksem.open({})

    with scene.open(retry={"max_attempts": 1}) as pipe, pytest.raises(ksem.HandlerError) as caught:
        pipe.process(take(pipe), None, handler)
    assert isinstance(caught.value.__cause__, ksem.ConfigError)
    assert caught.value.__cause__.code == "config_invalid"


def test_a_handler_that_takes_the_wrong_arguments(scene: Scene) -> None:
    scene.fill("a")
    with scene.open(retry={"max_attempts": 1}) as pipe, pytest.raises(ksem.HandlerError) as caught:
        pipe.process(take(pipe), None, lambda: None)  # type: ignore[misc,arg-type]
    assert isinstance(caught.value.__cause__, TypeError)


def test_errors_can_be_pickled_and_have_their_class(scene: Scene) -> None:
    with pytest.raises(ksem.KsemError) as caught:
        ksem.open({"group": "g"})
    error: Any = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is ksem.ConfigError
    assert str(error) == str(caught.value)
    assert (error.code, error.number, error.retry) == ("config_invalid", 1001, "never")
    assert issubclass(ksem.TransactionError, ksem.KsemError)
