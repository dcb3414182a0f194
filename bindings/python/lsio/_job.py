"""Jobs, the batches that they stream, and what they end with."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsio import _context, _core
from lsio._bridge import BATCH, Bridge
from lsio._errors import TimeoutError
from lsio._merge import merge_states

__all__ = ["Batch", "Chunk", "Job", "Result"]

RESULT = np.dtype(
    [("step", "u8"), ("tag", "i8"), ("begin", "u8"), ("length", "u8"), ("record", "u4"), ("flags", "u4")]
)
PROGRESS_S = 0.1

Array = npt.NDArray[Any]


def _view(buffer: Any, dtype: npt.DTypeLike) -> Array:
    found: Array = np.frombuffer(buffer, dtype)
    return found


class Chunk(NamedTuple):
    """What one step yielded."""

    step: int
    tag: int
    data: Array | bytes


class Batch:
    """Results of several steps, in memory that nobody has copied.

    The memory counts against the context's as long as the batch, or an array made of it, is alive.

    Attributes
    ----------
    data : ndarray of uint8
        All of it, writable; between results there may be gaps.
    steps, tags : ndarray of int64
        Index in the request, and tag, of each.
    begins, ends : ndarray of int64
        Bytes of ``data`` where each begins and ends.
    """

    def __init__(self, block: _core.Block, dtype: npt.DTypeLike = "u1") -> None:
        self._block: _core.Block | None = block
        self._n = len(block)
        self._dtype = np.dtype(dtype)

    def _alive(self) -> _core.Block:
        if self._block is None:
            raise ValueError("the batch has been released")
        return self._block

    @cached_property
    def _results(self) -> Array:
        return _view(self._alive().results, RESULT)

    @cached_property
    def data(self) -> npt.NDArray[np.uint8]:
        return _view(self._alive(), np.uint8)

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        return self._results["step"].astype(np.int64)

    @cached_property
    def tags(self) -> npt.NDArray[np.int64]:
        return self._results["tag"].copy()

    @cached_property
    def begins(self) -> npt.NDArray[np.int64]:
        begins = self._results["begin"].astype(np.int64) - self._alive().origin
        begins[self._results["length"] == 0] = 0
        return begins

    @cached_property
    def ends(self) -> npt.NDArray[np.int64]:
        return self.begins + self._results["length"].astype(np.int64)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Chunk]:
        """Yield a `Chunk` for each result."""
        new, data, dtype = tuple.__new__, self.data, self._dtype  # a named tuple's own __new__ is slow
        begins, ends, item = self.begins, self.ends, self._dtype.itemsize
        if self._results["record"].any() or (item > 1 and (begins % item).any()):
            yield from self._one_by_one()
            return
        if item > 1:
            data = data[: len(data) // item * item].view(dtype)
            begins, ends = begins // item, ends // item
        for step, tag, begin, end in zip(
            self.steps.tolist(), self.tags.tolist(), begins.tolist(), ends.tolist(), strict=True
        ):
            yield new(Chunk, (step, tag, data[begin:end]))

    def _one_by_one(self) -> Iterator[Chunk]:
        """Yield them where there are records, or elements that do not lie on their size."""
        records = self._results["record"].tolist()
        rows = zip(self.steps.tolist(), self.tags.tolist(), self.begins.tolist(), self.ends.tolist(), records,
                   strict=True)  # fmt: skip
        for step, tag, begin, end, record in rows:
            part = self.data[begin:end]
            yield Chunk(step, tag, part.tobytes() if record else part.view(self._dtype))

    def copy(self) -> Batch:
        """Return a batch whose ``data`` is memory of its own: what it keeps counts for no context."""
        other = object.__new__(Batch)
        other._block, other._n, other._dtype = None, self._n, self._dtype
        other.__dict__.update(
            _results=self._results.copy(),
            data=self.data.copy(),
            begins=self.begins.copy(),
            steps=self.steps,
            tags=self.tags,
            ends=self.ends.copy(),
        )
        return other

    def release(self) -> None:
        """Let go of the memory at once; arrays made of it before keep it."""
        self._block = None
        for name in ("_results", "data", "steps", "tags", "begins", "ends"):
            self.__dict__.pop(name, None)


def _arrays(v: Any) -> Any:
    """Make numpy's arrays of LSIO's in a state, without a copy."""
    if isinstance(v, _core.Array):
        return np.asarray(v)
    if isinstance(v, dict):
        return {k: _arrays(x) for k, x in v.items()}
    return [_arrays(x) for x in v] if isinstance(v, list) else v


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
    """

    def __init__(self, core: _core.Job, out: Array | None, has_state: bool) -> None:
        self._core = core
        self.errors = core.errors()
        self.state: dict[str, Any] = _arrays(core.state()) if has_state else {}
        made = core.output() if out is None else None
        self.output: Array | None = np.asarray(made) if made is not None else out

    @cached_property
    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._core.summary() or "{}")
        return found

    @cached_property
    def _text(self) -> str:
        return self._core.summary_text() or ""

    def __getstate__(self) -> dict[str, Any]:
        names = ("errors", "state", "output", "stats", "_text")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"<lsio.Result state={self.state!r} errors={len(self.errors)}>"

    def __str__(self) -> str:
        return self._text


class Job:
    """A job on its way: to be waited for, awaited or, where it streams, iterated.

    Leaving its ``with`` block, and losing the last reference, cancels it. In an event loop ``await job`` and
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
        self._reduce: str | Mapping[str, str] | None = None
        self._bridge: Bridge | None = None
        self._queue: _core.Queue | None = None
        self._batches: deque[Batch] = deque()
        self._told = threading.Event()  # that it has ended
        self._future: asyncio.Future[None] | None = None
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
        if self._future is not None and not self._future.done() and (self._told.is_set() or self._batches):
            self._future.set_result(None)

    def _has_ended(self) -> None:
        if self._told.is_set():
            return
        _context.running.discard(self)
        self._told.set()
        if self._bar is not None:
            self._show()
            self._bar.close()
        for f in self._callbacks:
            f(self)

    def _pump(self, timeout_ms: int) -> None:
        """Wait for more. Of a queue of its own."""
        assert self._queue is not None
        with self._taking:
            if self._told.is_set() or self._batches:
                return
            for _, what in self._queue.take(BATCH, timeout_ms):
                self._heard(what)

    def _wait(self, timeout_ms: int) -> None:
        """Until something has come of it, for so long at most; in any thread."""
        if self._queue is not None:
            self._pump(timeout_ms)
        elif self._bridge is None:
            with self._taking:
                if not self._told.is_set() and self._job.wait(timeout_ms) is not None:
                    self._has_ended()
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
            left = -1 if until is None else max(0, round((until - time.monotonic()) * 1000))
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
            raise error
        if self._result is None:
            self._result = Result(self._job, self._out, self._has_state)
        return self._result

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
        self._future = loop.create_future()
        if self._queue is not None:
            loop.add_reader(self._queue.fileno(), self._pump, 0)
        try:
            if not (self._told.is_set() or self._batches):
                await self._future
        finally:
            if self._queue is not None:
                loop.remove_reader(self._queue.fileno())
            self._future = None

    async def _await(self) -> Result:
        try:
            while not self._told.is_set():
                if self._bar is not None:
                    await asyncio.wait([asyncio.ensure_future(self._come())], timeout=PROGRESS_S)
                    self._show()
                else:
                    await self._come()
                self._batches.clear()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._end()

    def __await__(self) -> Generator[Any, None, Result]:
        return self._await().__await__()

    # -- streams

    def _must_stream(self) -> None:
        if not self._streams:
            raise TypeError("this job streams nothing; submit it with stream=True, or ask for its result()")

    def __iter__(self) -> Iterator[Batch]:
        self._must_stream()
        while True:
            while self._batches:
                yield self._batches.popleft()
            if self._told.is_set():
                break
            self._wait(-1)
        self._end()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        self._must_stream()
        try:
            while True:
                while self._batches:
                    yield self._batches.popleft()
                if self._told.is_set():
                    break
                await self._come()
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
        """Have ``fn(job)`` called at the end: by the event loop it was submitted in, else by a thread."""
        if self._told.is_set():
            fn(self)
            return
        self._callbacks.append(fn)
        if self._bridge is None:
            threading.Thread(target=self._watch, name="lsio-done", daemon=True).start()

    def _watch(self) -> None:
        while not self._told.is_set():
            self._wait(200)
            self._batches.clear()

    def progress(self) -> dict[str, Any]:
        """Return how far it is: ``steps`` and ``steps_failed`` of ``steps_requested``, bytes, workers."""
        return self._job.progress()

    def stats(self) -> dict[str, Any]:
        """Return the figures of the run, once it has ended."""
        found: dict[str, Any] = json.loads(self._job.summary() or "{}")
        return found

    def merge(self, parts: Sequence[Result]) -> dict[str, Any]:
        """Merge what shards of this job have ended with, in one process or in many.

        Parameters
        ----------
        parts : sequence of Result
            Those of all shards, in their order.

        Returns
        -------
        dict
            The state that the job would have ended with as a whole, by its own reducers.
        """
        return merge_states(self._reduce, [p.state for p in parts])

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

    async def __aenter__(self) -> Job:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a job that runs can't be pickled; pickle what it is made of, and submit that")
