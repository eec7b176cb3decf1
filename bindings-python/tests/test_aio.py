"""ksem.aio."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Coroutine, List

import pytest
from conftest import Scene, copy

import ksem
import ksem.aio

PATIENCE = 20.0


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, 60))


async def take(pipe: ksem.aio.Pipeline) -> ksem.Batch:
    batch = await pipe.poll(PATIENCE)
    assert batch is not None
    return batch


def slow_copy(scene: Scene, calls: List[int]) -> ksem.aio.Handler:
    async def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        calls.append(len(batch))
        await asyncio.sleep(0.01)
        out.send_many(scene.output, batch.values(), batch.keys())

    return handler


def test_async_with_async_for_and_process(scene: Scene) -> None:
    scene.fill("a", "b")

    async def main() -> None:
        calls: List[int] = []
        async with ksem.aio.open(scene.config()) as pipe:
            assert pipe.instance_id and pipe.guarantee == "exactly_once"
            async for batch in pipe:
                report = await pipe.process(batch, "exactly_once", slow_copy(scene, calls))
                assert (report.applied, report.records) == ("applied", 2)
                assert pipe.metrics()["records_in"] == 2
                pipe.stop()
            assert pipe.stopping
        assert calls == [2]
        with pytest.raises(ksem.ConfigError, match="closed"):
            await pipe.poll(0)

    run(main())
    assert scene.values() == [b"a", b"b"]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_run(broker: ksem.testing.Broker, asynchronous: bool) -> None:
    scene = Scene(broker, partitions=4)
    scene.fill(*range(400))

    async def main() -> None:
        handler = slow_copy(scene, []) if asynchronous else copy(scene)
        async with await ksem.aio.open(scene.config()) as pipe:
            await pipe.run(handler, until="caught_up")

    run(main())
    assert sorted(scene.values()) == sorted(str(value).encode() for value in range(400))


def test_handlers_of_different_lanes_wait_together(broker: ksem.testing.Broker) -> None:
    scene = Scene(broker, partitions=4)
    scene.fill(*range(400))
    most = now = 0

    async def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.3)
        now -= 1

    async def main() -> None:
        async with ksem.aio.open(scene.config(transactions={"lanes": 4})) as pipe:
            await pipe.run(handler, until="caught_up")

    run(main())
    assert most > 1


def test_the_event_loop_goes_on(scene: Scene) -> None:
    async def main() -> float:
        worst = 0.0

        async def watch() -> None:
            nonlocal worst
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                worst = max(worst, time.monotonic() - before)

        async with ksem.aio.open(scene.config()) as pipe:
            watching = asyncio.ensure_future(watch())
            assert await pipe.poll(1.0) is None
            watching.cancel()
        return worst

    # Much longer than it takes, and much shorter than the poll.
    assert run(main()) < 0.5


def test_a_handler_that_raises(scene: Scene) -> None:
    scene.fill("a")
    thrown = LookupError("no such order")

    async def failing(batch: ksem.Batch, out: ksem.Output) -> None:
        out.forward_many(scene.output)
        await asyncio.sleep(0)
        raise thrown

    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            with pytest.raises(ksem.HandlerError, match="no such order") as caught:
                await pipe.process(await take(pipe), None, failing)
            assert caught.value.__cause__ is thrown
            assert thrown.__traceback__ is not None
            report = await pipe.process(await take(pipe), None, slow_copy(scene, []))
            assert report.attempts == 1

    run(main())
    assert scene.values() == [b"a"]


def test_a_run_whose_handler_raises(scene: Scene) -> None:
    scene.fill("a")
    thrown = LookupError("no such order")

    async def failing(batch: ksem.Batch, out: ksem.Output) -> None:
        raise thrown

    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            with pytest.raises(ksem.HandlerError) as caught:
                await pipe.run(failing)
            assert caught.value.__cause__ is thrown

    run(main())


@pytest.mark.parametrize("guarantee", [ksem.Guarantee.AT_LEAST_ONCE, ksem.Guarantee.EXACTLY_ONCE])
def test_a_batch_that_is_cancelled_comes_again(scene: Scene, guarantee: ksem.Guarantee) -> None:
    scene.fill("a")

    async def main() -> None:
        started = asyncio.Event()

        async def endless(batch: ksem.Batch, out: ksem.Output) -> None:
            out.forward_many(scene.output)
            started.set()
            await asyncio.sleep(1000)

        async with ksem.aio.open(scene.config(guarantee=guarantee)) as pipe:
            task = asyncio.ensure_future(pipe.process(await take(pipe), guarantee, endless))
            await started.wait()
            before = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - before < 0.5
            again = await take(pipe)
            assert again.values() == [b"a"]
            report = await pipe.process(again, guarantee, slow_copy(scene, []))
            assert (report.applied, report.attempts) == ("applied", 1)

    run(main())
    assert scene.values() == [b"a"]


def test_a_time_out_is_a_cancellation(scene: Scene) -> None:
    scene.fill("a")

    async def endless(batch: ksem.Batch, out: ksem.Output) -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            batch = await take(pipe)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pipe.process(batch, None, endless), 0.2)
            await pipe.process(await take(pipe), None, slow_copy(scene, []))

    run(main())
    assert scene.values() == [b"a"]


def test_a_run_that_is_cancelled_stops_its_handlers_and_its_pipeline(broker: ksem.testing.Broker) -> None:
    scene = Scene(broker, partitions=4)
    scene.fill(*range(100))
    cancelled = 0

    async def main() -> None:
        started = asyncio.Event()

        async def endless(batch: ksem.Batch, out: ksem.Output) -> None:
            nonlocal cancelled
            out.forward_many(scene.output)
            started.set()
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled += 1
                raise

        async with ksem.aio.open(scene.config()) as pipe:
            task = asyncio.ensure_future(pipe.run(endless))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert cancelled >= 1

        async with ksem.aio.open(scene.config()) as pipe:
            await pipe.run(slow_copy(scene, []), until="caught_up")

    run(main())
    assert sorted(scene.values()) == sorted(str(value).encode() for value in range(100))


def test_a_poll_that_is_cancelled_takes_no_batch_away(scene: Scene) -> None:
    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            task = asyncio.ensure_future(pipe.poll())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            scene.fill("a")
            assert (await take(pipe)).values() == [b"a"]

    run(main())


def test_a_handler_that_cancels_itself(scene: Scene) -> None:
    scene.fill("a")

    async def giving_up(batch: ksem.Batch, out: ksem.Output) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            with pytest.raises(asyncio.CancelledError):
                await pipe.process(await take(pipe), None, giving_up)
            assert (await take(pipe)).values() == [b"a"]
        async with ksem.aio.open(scene.config()) as pipe:
            with pytest.raises(ksem.HandlerError) as caught:
                await pipe.run(giving_up)
            assert caught.value.code == "handler_cancelled"

    run(main())


def test_attempts_and_publishing(scene: Scene) -> None:
    async def main() -> None:
        async with ksem.aio.open(scene.config()) as pipe:
            assert await pipe.publish([(scene.input, "k", "a")]) == 1
            attempt = await pipe.begin(await take(pipe))
            attempt.out.send(scene.output, value="never")
            assert (await attempt.abort("not yet")).applied is ksem.Applied.REDELIVERED
            with pytest.raises(KeyError):
                async with await pipe.begin(await take(pipe)) as attempt:
                    attempt.out.send(scene.output, value="never")
                    raise KeyError
            async with await pipe.begin(await take(pipe)) as attempt:
                attempt.out.forward_many(scene.output)
            assert attempt.ended and attempt.report is not None
            assert len(attempt.batch) == attempt.report.records == 1

    run(main())
    assert scene.values() == [b"a"]
