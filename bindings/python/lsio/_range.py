"""Bytes of one object: one range, without a script."""

from __future__ import annotations

import asyncio
import builtins
import os
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._bridge import Bridge, bridge_of
from lsio._context import Context, default_context, running
from lsio._errors import TimeoutError
from lsio._job import check_out, milliseconds

__all__ = ["get_range", "get_range_async"]

Bytes = npt.NDArray[np.uint8]


def fits(out: npt.NDArray[Any], n: int) -> None:
    check_out(out)
    if out.nbytes != n:
        raise ValueError(f"`out` has {out.nbytes} bytes, what is read {n}; it must have just as many")


# Results beyond that lie in memory that LSIO makes, and uses again when they are gone: the system would clear
# each new page, and numpy's begin 16 bytes behind one, where its copies take twice as long.
SMALL = 64 << 10


def _late(name: str, timeout: float | None) -> TimeoutError:
    e = TimeoutError(f"{name}: the read has not ended in {timeout:g} s")
    e.url = name
    return e


def _length(start: int, end: int | None, length: int | None, out: npt.NDArray[Any] | None) -> int:
    """Return how many bytes a range has, -1 if it goes to the end; what is given is checked."""
    if end is not None and length is not None:
        raise TypeError("give either end or length")
    n = length if length is not None else end - start if end is not None else -1
    if n < 0 and (end is not None or length is not None):
        raise ValueError("the range ends before it starts")
    if out is not None:
        if n >= 0:
            fits(out, n)
        else:
            check_out(out)
    return n


def _now(
    url: str | os.PathLike[str], start: int, n: int, out: npt.NDArray[Any] | None, context: Context
) -> Bytes | None:
    """Return what is small and needs no waiting: it is read sooner than other threads could be told of it."""
    if n > SMALL:
        return None
    room = out if out is not None else np.empty(n if n >= 0 else SMALL, np.uint8)
    got = _core.read_now(context._core, os.fsencode(url), start, n, room)
    if got < 0 or (out is not None and got != out.nbytes):
        return None
    return room if out is not None or got == len(room) else room[:got].copy()


class _Turns(threading.local):
    """Reads of a thread since its event loop had a turn."""

    reads = 0


_turns = _Turns()


async def _give_way() -> None:
    """Let other tasks of the loop go on, now and then: one whose reads need no waiting would keep it."""
    _turns.reads += 1
    if _turns.reads >= 64:
        _turns.reads = 0
        await asyncio.sleep(0)


class _One:
    """A plain read of one range, on its way: what a `Job` is in short."""

    __slots__ = ("__weakref__", "_core", "_future", "_name", "_out")

    def __init__(
        self,
        url: str | os.PathLike[str],
        start: int,
        n: int,
        out: npt.NDArray[Any] | None,
        context: Context,
        bridge: Bridge | None,
    ) -> None:
        if out is None and 0 <= n <= SMALL:
            out = np.empty(n, np.uint8)
        self._out = out
        self._name = os.fspath(url)
        self._future = bridge.loop.create_future() if bridge else None
        cookie, queue = (bridge.add(), bridge.queue) if bridge else (0, None)
        name = os.fsencode(url)
        self._core = _core.submit_range(context._core, queue, cookie, name, start, n, self._out)
        running.add(self)
        if bridge:
            bridge.watch(cookie, self)

    def _heard(self, what: object) -> None:
        if what is None and self._future is not None and not self._future.done():
            self._future.set_result(None)

    def cancel(self) -> None:
        self._core.cancel()

    def _settle(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._core.status() == _core.BUSY and time.monotonic() < until:
            time.sleep(0.001)

    def end(self) -> Bytes:
        error = self._core.error()
        if error is not None:
            raise error
        if self._out is not None:
            return self._out
        made = self._core.output()
        return np.empty(0, np.uint8) if made is None else np.asarray(made)

    def wait(self, timeout: float | None) -> Bytes:
        try:
            if self._core.wait(milliseconds(timeout)) is None:
                raise _late(self._name, timeout)
        except BaseException:
            self.cancel()
            if self._out is not None:
                self._core.wait(-1)  # nobody writes to it any more once this returns
            raise
        return self.end()

    async def come(self, timeout: float | None) -> Bytes:
        assert self._future is not None
        try:
            if timeout is None:
                await self._future
            else:
                await asyncio.wait_for(self._future, timeout)
        except GeneratorExit:  # the coroutine is closed and may wait for nothing more
            self.cancel()
            raise
        except BaseException as e:
            self.cancel()
            while self._out is not None and self._core.status() == _core.BUSY:
                await asyncio.sleep(0.001)
            if isinstance(e, builtins.TimeoutError):
                raise _late(self._name, timeout) from None
            raise
        finally:
            self._future = None  # it would keep a loop that closes before it hears of the end
        return self.end()


def get_range(
    url: str | os.PathLike[str],
    *,
    start: int,
    end: int | None = None,
    length: int | None = None,
    out: npt.NDArray[Any] | None = None,
    timeout: float | None = None,
    context: Context | None = None,
) -> Bytes:
    """Read bytes [start, end) of an object.

    Parameters
    ----------
    url : str or path
        Path or ``file://`` URL.
    start : int
        First byte; a negative one counts from the object's end, and so does `end` then.
    end, length : int, optional
        Give one, or none: then up to the end of the object. A file that was written within the last 20 ms is
        left to rest first, so that the end is not that of a write under way.
    out : ndarray, optional
        Where they go: writable, C-contiguous and of just that size.
    timeout : float, optional
        Seconds.
    context : Context, optional
        By default `default_context`.

    Returns
    -------
    ndarray of uint8
        Writable; `out` where that is given.

    Notes
    -----
    Up to 64 KiB that lie in the page cache, of a file that has not changed for some seconds, are read by the
    calling thread itself, in microseconds. Anything else is a job of the context's.
    """
    context = context or default_context()
    n = _length(start, end, length, out)
    at_hand = _now(url, start, n, out, context)
    return at_hand if at_hand is not None else _One(url, start, n, out, context, None).wait(timeout)


async def get_range_async(
    url: str | os.PathLike[str],
    *,
    start: int,
    end: int | None = None,
    length: int | None = None,
    out: npt.NDArray[Any] | None = None,
    timeout: float | None = None,
    context: Context | None = None,
) -> Bytes:
    """Read bytes of an object; as `get_range`."""
    context = context or default_context()
    n = _length(start, end, length, out)
    await _give_way()
    at_hand = _now(url, start, n, out, context)
    if at_hand is not None:
        return at_hand
    return await _One(url, start, n, out, context, bridge_of(context)).come(timeout)
