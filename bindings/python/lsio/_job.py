"""Jobs, the batches that they stream, and what they end with."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _context, _core
from lsio._batch import Array, Batch
from lsio._bridge import BATCH, Bridge
from lsio._errors import TimeoutError, of_arguments
from lsio._merge import added, merge_states

__all__ = ["Job", "Result"]

PROGRESS_S = 0.1
MOST_S = 1e6  # of one wait


def milliseconds(seconds: float | None) -> int:
    """Return a timeout as the extension takes it: -1 for none, and no more than it can count."""
    return -1 if seconds is None else round(min(max(seconds, 0.0), MOST_S) * 1000)


def _arrays(v: Any) -> Any:
    """Make numpy's arrays of LSIO's in a state, without a copy."""
    if isinstance(v, _core.Array):
        return np.asarray(v)
    if isinstance(v, dict):
        return {k: _arrays(x) for k, x in v.items()}
    return [_arrays(x) for x in v] if isinstance(v, list) else v


def check_out(out: npt.NDArray[Any]) -> None:
    """Refuse an array that bytes can't be read into."""
    if np.asarray(out).dtype.hasobject:
        raise TypeError("`out` holds Python's objects: bytes can't be read into it")


class Result:
    """What a job ended with.

    Attributes
    ----------
    state : dict
        The reduced state: int, float, bytes, ndarray, list or dict by name; {} where there is none.
    output : ndarray or None
        The array that the results stand in.
    errors : list of Error
        Of steps that failed and were left out: those of the lowest steps, at most 100.
    stats : dict
        Figures of the run, as ``--json`` of lsio-lua has them.
    shard : (int, int) or None
        Which part of a job it was.
    """

    shard: tuple[int, int] | None = None

    def __init__(self, core: _core.Job, out: Array | None, has_state: bool) -> None:
        self._core = core
        self.errors = core.errors()
        self.state: dict[str, Any] = _arrays(core.state()) if has_state else {}
        made = core.output() if out is None else None
        self.output: Array | None = np.asarray(made) if made is not None else out

    @classmethod
    def _of_parts(cls, parts: Sequence[Result]) -> Result:
        shards = sorted(p.shard for p in parts if p.shard is not None)
        if shards and shards != [(i, len(parts)) for i in range(len(parts))]:
            raise ValueError(f"these are not all parts of a job, once each: {shards} of {len(parts)} results")
        if any(p.stats.get("reduce") != parts[0].stats.get("reduce") for p in parts):
            raise ValueError("these are parts of jobs that do not reduce alike")
        whole = cls.__new__(cls)
        whole.errors = [e for p in parts for e in p.errors]
        whole.state = merge_states(parts[0].stats.get("reduce") if parts else None, [p.state for p in parts])
        whole.output = None
        whole.stats = added([p.stats for p in parts])
        whole._text = "\n".join(p._text for p in parts)
        return whole

    @cached_property
    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._core.summary() or "{}")
        return found

    @cached_property
    def _text(self) -> str:
        return self._core.summary_text() or ""

    def __getstate__(self) -> dict[str, Any]:
        names = ("errors", "state", "output", "stats", "shard", "_text")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"<lsio.Result state={self.state!r} errors={len(self.errors)}>"

    def __str__(self) -> str:
        return self._text


def _seconds(timeout_ms: int) -> float:
    """Return a timeout as locks take it."""
    return timeout_ms / 1000 if timeout_ms >= 0 else -1


def _wake(waiter: asyncio.Future[None]) -> None:
    """Wake who awaits, in whatever loop that is."""
    if waiter.get_loop() is asyncio._get_running_loop():
        _set(waiter)
        return
    with suppress(RuntimeError):  # its loop is closed
        waiter.get_loop().call_soon_threadsafe(_set, waiter)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Job:
    """A job on its way: to be waited for, awaited or, where it streams, iterated.

    Leaving its ``with`` block, and losing the last reference, cancels it; a step that
    runs is let end. In an event loop ``await job`` and
    ``async for batch in job``; elsewhere ``job.result()`` and ``for batch in job``.
    """

    _job: _core.Job

    def __init__(
        self, context: _context.Context, streams: bool, dtype: npt.DTypeLike, out: Array | None
    ) -> None:
        self._context = context
        self._streams = streams
        self._dtype = dtype
        self._out = out
        self._has_state = False
        self._shard: tuple[int, int] | None = None
        self._own_lines: int | None = None  # of its script are the user's; None: all
        self._bridge: Bridge | None = None
        self._queue: _core.Queue | None = None
        self._batches: deque[Batch] = deque()
        self._told = threading.Event()  # that it has ended
        self._waiters: list[asyncio.Future[None]] = []  # of those that await something of it
        self._calling = threading.Lock()  # callbacks are called once each, whenever they come
        self._callbacks: list[Callable[[Job], object]] = []
        self._result: Result | None = None
        self._taking = threading.Lock()
        self._bar: Any = None

    def _begin(self, core: _core.Job, bridge: Bridge | None, cookie: int) -> None:
        self._job = core
        _context.running.add(self)
        if bridge is not None:
            self._bridge = bridge
            bridge.watch(cookie, self)

    # -- what comes

    def _heard(self, what: _core.Block | BaseException | None) -> None:
        if isinstance(what, _core.Block):
            self._batches.append(Batch(what, self._dtype))
        elif what is None:
            self._has_ended()
        if self._waiters and (self._told.is_set() or self._batches):
            for waiter in self._waiters.copy():
                _wake(waiter)

    def _has_ended(self) -> None:
        with self._calling:
            if self._told.is_set():
                return
            _context.running.discard(self)
            self._told.set()
            callbacks, self._callbacks = self._callbacks, []
        if self._bar is not None:
            self._show()
            self._bar.close()
        for f in callbacks:
            self._call(f)

    def _call(self, fn: Callable[[Job], object]) -> None:
        try:
            fn(self)
        except Exception:  # others wait for the end as well
            logging.getLogger("lsio").exception("a callback at the end of a job failed: %r", fn)

    def _pump(self, timeout_ms: int) -> None:
        """Wait for more. Of a queue of its own."""
        assert self._queue is not None
        if not self._taking.acquire(timeout=_seconds(timeout_ms)):
            return
        try:
            if self._told.is_set() or self._batches:
                return
            for _, what in self._queue.take(BATCH, timeout_ms):
                self._heard(what)
        finally:
            self._taking.release()

    def _wait(self, timeout_ms: int) -> None:
        """Until something has come of it, for so long at most; in any thread."""
        if self._queue is not None:
            self._pump(timeout_ms)
        elif self._bridge is None:
            if not self._taking.acquire(timeout=_seconds(timeout_ms)):
                return
            try:
                if not self._told.is_set() and self._job.wait(timeout_ms) is not None:
                    self._has_ended()
            finally:
                self._taking.release()
        elif self._bridge.thread == threading.get_ident() or self._bridge.idle():
            self._bridge.pump(min(timeout_ms, 50) if timeout_ms >= 0 else 50)
        else:
            self._told.wait(0.05 if timeout_ms < 0 else min(timeout_ms / 1000, 0.05))

    def _settle(self, seconds: float) -> None:
        """At exit: nobody will ask for it."""
        until = time.monotonic() + seconds
        while self._job.status() == _core.BUSY and time.monotonic() < until:
            time.sleep(0.001)

    # -- waiting

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the end.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without it as long as it takes. Ctrl-C is looked for every 50 ms.

        Returns
        -------
        Result

        Raises
        ------
        TimeoutError
            It has not ended in that time, and goes on.
        Error
            What ended the job.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._told.is_set():
            left = milliseconds(None if until is None else until - time.monotonic())
            if self._bar is not None:
                left = round(PROGRESS_S * 1000) if left < 0 else min(left, round(PROGRESS_S * 1000))
            self._wait(left)
            self._batches.clear()
            self._show()
            if until is not None and not self._told.is_set() and time.monotonic() >= until:
                raise TimeoutError(f"the job has not ended in {timeout:g} s; it goes on")
        return self._end()

    def _end(self) -> Result:
        error = self._job.error()
        if error is not None:
            raise error if self._own_lines is None else of_arguments(error, self._own_lines)
        if self._result is None:
            self._result = Result(self._job, self._out, self._has_state)
            self._result.shard = self._shard
        return self._result

    def _let_go(self) -> None:
        """Nobody writes to `out` any more once this returns."""
        while self._out is not None and not self._told.is_set():
            self._wait(50)
            self._batches.clear()

    async def _let_go_async(self) -> None:
        while self._out is not None and self._job.status() == _core.BUSY:
            await asyncio.sleep(0.001)

    def _show(self) -> None:
        if self._bar is None:
            return
        p = self._job.progress()
        by_bytes = 0 < p["bytes_requested"]
        total = p["bytes_requested"] if by_bytes else p["steps_requested"]
        self._bar.total = total if 0 < total < 2**64 - 1 else None
        self._bar.update((p["bytes_done"] if by_bytes else p["steps"] + p["steps_failed"]) - self._bar.n)

    async def _come(self) -> None:
        """Until something has come of it."""
        loop = asyncio.get_running_loop()
        elsewhere = self._bridge is not None and self._bridge._loop() is not loop
        if elsewhere or (self._queue is None and self._bridge is None):
            while not self._told.is_set():
                await loop.run_in_executor(None, self._wait, 200)
            return
        waiter = loop.create_future()
        self._waiters.append(waiter)
        if self._queue is not None:
            loop.add_reader(self._queue.fileno(), self._pump, 0)
        try:
            if not (self._told.is_set() or self._batches):
                await waiter
        finally:
            self._waiters.remove(waiter)
            if self._queue is not None and all(w.get_loop() is not loop for w in self._waiters.copy()):
                loop.remove_reader(self._queue.fileno())

    async def _come_shown(self) -> None:
        """As `_come`; and show meanwhile how far it is."""
        if self._bar is None:
            await self._come()
            return
        coming = asyncio.ensure_future(self._come())
        try:
            while not coming.done():
                await asyncio.wait([coming], timeout=PROGRESS_S)
                self._show()
            coming.result()
        finally:
            coming.cancel()

    async def _await(self) -> Result:
        try:
            while not self._told.is_set():
                await self._come_shown()
                self._batches.clear()
        except asyncio.CancelledError:
            self.cancel()
            await self._let_go_async()
            raise
        return self._end()

    def __await__(self) -> Generator[Any, None, Result]:
        return self._await().__await__()

    # -- streams

    def _must_stream(self) -> None:
        if not self._streams:
            raise TypeError("this job streams nothing; submit it with stream=True, or ask for its result()")

    def _next(self) -> Batch | None:
        try:
            return self._batches.popleft()
        except IndexError:  # or another thread has taken it
            return None

    def __iter__(self) -> Iterator[Batch]:
        self._must_stream()
        wait = milliseconds(None if self._bar is None else PROGRESS_S)
        while True:
            while (batch := self._next()) is not None:
                yield batch
                del batch  # it is the user's now
            if self._told.is_set():
                break
            self._wait(wait)
            self._show()
        self._end()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        self._must_stream()
        try:
            while True:
                while (batch := self._next()) is not None:
                    yield batch
                    del batch
                if self._told.is_set():
                    break
                await self._come_shown()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._end()

    # -- the rest

    def cancel(self) -> None:
        """Ask the job to stop; returns at once. Its end follows, as `CancelledError`."""
        self._job.cancel()

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._told.is_set() or self._job.status() != _core.BUSY

    def add_done_callback(self, fn: Callable[[Job], object]) -> None:
        """Have ``fn(job)`` called at the end: by the event loop it was submitted in, else by a thread.

        Of a job that streams, by whoever takes its last batch, awaits it or asks for its result.
        """
        with self._calling:
            ended = self._told.is_set()
            if not ended:
                self._callbacks.append(fn)
        if ended:
            self._call(fn)
        elif self._bridge is None and not self._streams:
            threading.Thread(target=self._watch, name="lsio-done", daemon=True).start()

    def _watch(self) -> None:
        while not self._told.is_set():
            self._wait(200)

    def progress(self) -> dict[str, Any]:
        """Return how far it is: ``steps`` and ``steps_failed`` of ``steps_requested``, bytes, workers."""
        return self._job.progress()

    def stats(self) -> dict[str, Any]:
        """Return the figures of the run, once it has ended."""
        found: dict[str, Any] = json.loads(self._job.summary() or "{}")
        return found

    @staticmethod
    def merge(parts: Sequence[Result]) -> Result:
        """Merge what shards of a job have ended with, in one process or in many.

        Parameters
        ----------
        parts : sequence of Result
            Those of all shards, in their order.

        Returns
        -------
        Result
            ``state`` as the job would have ended with it as a whole, by its own reducers: those of the first
            part. ``errors`` of all, ``stats`` with the counts of all added up; no ``output``.

        Raises
        ------
        TypeError
            The job merges by a function in Lua, or not at all.
        """
        return Result._of_parts(parts)

    def explain(self) -> str:
        """Return the plan in words; "" before there is one."""
        return self._job.explain(False) or ""

    def activity(self) -> str:
        """Return what each worker is doing, a line each."""
        return self._job.activity() or ""

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
        self._let_go()

    async def __aenter__(self) -> Job:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
        if kind is not GeneratorExit:  # then the coroutine is closed, and may wait for nothing
            await self._let_go_async()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a job that runs can't be pickled; pickle what it is made of, and submit that")
