"""ksem for ``asyncio``.

    async with ksem.aio.open("pipeline.toml") as pipe:
        async for batch in pipe:
            report = await pipe.process(batch, "exactly_once", handler)

A handler is a coroutine function, or a plain function, and runs on the event loop. While native code waits, the event
loop goes on. A task that is cancelled gives up what it waits for: a batch is not applied and comes again, unless its
commit had begun, which goes on and ends one way or the other. Nothing is lost, and nothing is done twice.

The methods are those of `ksem.Pipeline`, and raise the same errors.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    Generator,
    Iterable,
    List,
    Literal,
    Mapping,
    Optional,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from . import _ksem
from ._ksem import Batch, Output
from ._types import Guarantee, OutputRecord, Report

__all__ = ["Attempt", "Handler", "Pipeline", "open"]

Handler = Callable[[Batch, Output], Union[Awaitable[None], None]]
"""``handler(batch, out)``, asynchronous or not."""

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Seconds after which a thread that waits looks whether somebody still waits for it.
_LOOK = 0.1


class _Threads:
    """Threads on which native code waits, so that the event loop does not."""

    def __init__(self) -> None:
        # Each wait takes one, and none is started before it is needed.
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="ksem-aio")

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def end(self) -> None:
        self._pool.shutdown(wait=False)


class open:
    """Opens a pipeline: ``async with ksem.aio.open(config) as pipe``, or ``pipe = await ksem.aio.open(config)``.

    ``config`` and the errors are those of `ksem.open`.
    """

    def __init__(self, config: Union[str, os.PathLike[str], Mapping[str, Any]]) -> None:
        self._config = config
        self._pipeline: Optional[Pipeline] = None

    def __await__(self) -> Generator[Any, None, Pipeline]:
        return self._open().__await__()

    async def __aenter__(self) -> Pipeline:
        self._pipeline = await self._open()
        return self._pipeline

    async def __aexit__(
        self,
        _type: Optional[Type[BaseException]],
        _exception: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        if self._pipeline is not None:
            await self._pipeline.close()

    async def _open(self) -> Pipeline:
        threads = _Threads()
        return Pipeline(await threads.run(_ksem.open, self._config), threads)


class Pipeline:
    """As `ksem.Pipeline`, for one event loop. `open` makes it."""

    def __init__(self, pipeline: _ksem.Pipeline, threads: _Threads) -> None:
        self._pipeline = pipeline
        self._threads = threads

    @property
    def instance_id(self) -> str:
        """The instance id, configured or found."""
        return self._pipeline.instance_id

    @property
    def guarantee(self) -> Guarantee:
        """The configured guarantee, which holds where a call names none."""
        return self._pipeline.guarantee

    @property
    def stopping(self) -> bool:
        """Whether it was stopped, has failed, or is closed: there are no more batches."""
        return self._pipeline.stopping

    async def poll(self, timeout: Optional[float] = None) -> Optional[Batch]:
        """Return the next batch, or ``None`` if none came within ``timeout`` seconds, or the pipeline is stopped."""
        gone: List[bool] = []
        try:
            return await self._threads.run(self._poll, timeout, gone)
        finally:
            # A thread that has a batch for nobody lets it go.
            gone.append(True)

    def _poll(self, timeout: Optional[float], gone: List[bool]) -> Optional[Batch]:
        left = timeout
        while True:
            batch = self._pipeline.poll(_LOOK if left is None else min(left, _LOOK))
            if left is not None:
                left -= _LOOK
            if batch is not None or gone or self._pipeline.stopping or (left is not None and left <= 0):
                return batch

    async def process(self, batch: Batch, guarantee: Union[Guarantee, str, None], handler: Handler) -> Report:
        """Process one batch under the guarantee, as `ksem.Pipeline.process` does, with the handler in this task."""
        calls = self._pipeline._process_calls(batch, guarantee)
        raised: Optional[Exception] = None
        try:
            while True:
                call = await self._threads.run(calls.next)
                if call is None:
                    return await self._threads.run(calls.finish, raised)
                raised = await _answer(call, handler) or raised
        except BaseException:
            calls.give_up()
            raise

    async def run(self, handler: Handler, until: Literal["stopped", "caught_up"] = "stopped") -> None:
        """Poll and process with every lane at once, as `ksem.Pipeline.run` does.

        Each call of an asynchronous handler is a task; calls for different lanes go on at the same time.
        """
        calls = self._pipeline._run_calls(until)
        tasks: Set[asyncio.Task[Optional[Exception]]] = set()
        try:
            while True:
                call = await self._threads.run(calls.next)
                if call is None:
                    return await self._threads.run(calls.finish)
                task = asyncio.ensure_future(_answer(call, handler))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except BaseException:
            calls.give_up()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, batch: Batch, guarantee: Union[Guarantee, str, None] = None) -> Attempt:
        """Begin an attempt at a batch, for callers with their own control flow."""
        return Attempt(await self._threads.run(self._pipeline.begin, batch, guarantee), self._threads)

    async def publish(
        self,
        records: Union[Output, Iterable[Union[OutputRecord, Tuple[Any, ...]]]],
        guarantee: Union[Guarantee, str, None] = None,
    ) -> int:
        """Send records whose input is not Kafka; return how many were acknowledged."""
        return await self._threads.run(self._pipeline.publish, records, guarantee)

    def stop(self) -> None:
        """Ask the pipeline to end: `run` returns when the batches in flight are done, and iteration ends."""
        self._pipeline.stop()

    async def close(self) -> None:
        """Leave the group and close the clients, within ``shutdown.deadline_ms``. Closing again does nothing."""
        try:
            await self._threads.run(self._pipeline.close)
        finally:
            if self._pipeline.stopping:
                self._pool_ends()

    def _pool_ends(self) -> None:
        # Calls after this get an error of ksem's own, not one of a pool that has ended.
        self._threads.end()
        self._threads = _Threads()

    def metrics(self) -> Dict[str, int]:
        """Return the counters since the pipeline was opened."""
        return self._pipeline.metrics()

    async def __aenter__(self) -> Pipeline:
        return self

    async def __aexit__(
        self,
        _type: Optional[Type[BaseException]],
        _exception: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    def __aiter__(self) -> Pipeline:
        return self

    async def __anext__(self) -> Batch:
        batch = await self.poll()
        if batch is None:
            raise StopAsyncIteration
        return batch


class Attempt:
    """As `ksem.Attempt`: ``async with`` commits at the end of its block, or aborts where the block raises."""

    def __init__(self, attempt: _ksem.Attempt, threads: _Threads) -> None:
        self._attempt = attempt
        self._threads = threads

    @property
    def batch(self) -> Batch:
        """The batch."""
        return self._attempt.batch

    @property
    def out(self) -> Output:
        """Where to send."""
        return self._attempt.out

    @property
    def ended(self) -> bool:
        """Whether it was committed or aborted."""
        return self._attempt.ended

    @property
    def report(self) -> Optional[Report]:
        """What its end has reported."""
        return self._attempt.report

    async def commit(self) -> Report:
        """Commit the outputs and the offsets, in the order of the guarantee."""
        return await self._threads.run(self._attempt.commit)

    async def abort(self, reason: str = "aborted by the caller") -> Report:
        """Abort: nothing is applied, and the batch comes again. Under at-most-once it is lost, and counted."""
        return await self._threads.run(self._attempt.abort, reason)

    async def __aenter__(self) -> Attempt:
        return self

    async def __aexit__(
        self,
        _type: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        # Also where this task is cancelled: the abort goes on without it.
        await self._threads.run(self._attempt.__exit__, _type, exception, traceback)


async def _answer(call: _ksem.Call, handler: Handler) -> Optional[Exception]:
    """Make one call of the handler. Return what it raised, which fails the batch."""
    try:
        result = handler(call.batch, call.out)
        if result is not None and hasattr(result, "__await__"):
            await result
    except Exception as error:
        call.fail(error)
        return error
    except BaseException:
        call.give_up()
        raise
    call.succeed()
    return None
