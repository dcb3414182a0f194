"""Bytes of objects, without a script: one range, many of one object, many of many."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._bridge import Bridge, bridge_of
from lsio._context import Context, default_context, running
from lsio._errors import Error, TimeoutError
from lsio._job import Job, Result, check_out, milliseconds
from lsio._source import Names, Ranges, array_of
from lsio._submit import submit

__all__ = [
    "RangesResult",
    "cat_ranges",
    "cat_ranges_async",
    "get_range",
    "get_range_async",
    "get_ranges",
    "get_ranges_async",
]

Bytes = npt.NDArray[np.uint8]


class RangesResult(Sequence[npt.NDArray[Any]]):
    """Ranges one behind the other, in the order in which they were asked for.

    Attributes
    ----------
    data : ndarray
        All of them.
    offsets : ndarray of int64
        Of range i, ``data[offsets[i]:offsets[i + 1]]`` in elements.
    errors : list of Error
        With ``on_error="skip"``: what failed (at most 100). Their bytes are 0.
    """

    def __init__(self, data: npt.NDArray[Any], offsets: npt.NDArray[np.int64], errors: list[Error]) -> None:
        self.data, self.offsets, self.errors = data, offsets, errors

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, i: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, i: slice) -> list[npt.NDArray[Any]]: ...
    def __getitem__(self, i: int | slice) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"range {i} of {len(self)}")
        part: npt.NDArray[Any] = self.data[self.offsets[i] : self.offsets[i + 1]]
        return part

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        for a, b in pairwise(self.offsets.tolist()):
            yield self.data[a:b]


def _lengths(starts: npt.NDArray[np.int64], ends: Any, lengths: Any) -> npt.NDArray[np.int64]:
    if (ends is None) == (lengths is None):
        raise TypeError("give either ends or lengths")
    found = array_of(ends if lengths is None else lengths, np.int64, len(starts))
    if len(found) != len(starts):
        raise ValueError(
            f"there are {len(starts)} starts, but {len(found)} {'ends' if lengths is None else 'lengths'}"
        )
    if lengths is None:
        found = found - starts
    if len(found) and found.min() < 0:
        raise ValueError(f"range {int(np.argmin(found))} ends before it starts")
    checked: npt.NDArray[np.int64] = found
    return checked


def _fits(out: npt.NDArray[Any], n: int) -> None:
    check_out(out)
    if out.nbytes != n:
        raise ValueError(f"`out` has {out.nbytes} bytes, what is read {n}; it must have just as many")


def _bytes_of(out: npt.NDArray[Any]) -> Bytes:
    """Return the same memory as bytes: what is not C-contiguous would be copied, and its results lost."""
    if not out.flags.c_contiguous:
        raise ValueError("`out` must be C-contiguous")
    return out.reshape(-1).view(np.uint8)


# Results beyond that lie in memory that LSIO makes, and uses again when they are gone: the system would clear
# each new page, and numpy's begin 16 bytes behind one, where its copies take twice as long.
SMALL = 64 << 10


class _Many:
    """A plain read of many ranges, on its way."""

    def __init__(
        self,
        objects: Names,
        index: Any,
        starts: npt.ArrayLike,
        ends: Any,
        lengths: Any,
        out: Any,
        dtype: npt.DTypeLike,
        merge: str | int,
        on_error: str,
        context: Context | None,
    ) -> None:
        at = array_of(starts, np.int64)
        n = _lengths(at, ends, lengths)
        self.dtype = np.dtype(dtype)
        self.offsets = np.zeros(len(at) + 1, np.int64)
        np.cumsum(n, out=self.offsets[1:])
        total = int(self.offsets[-1])
        if total % self.dtype.itemsize or (len(n) and (n % self.dtype.itemsize).any()):
            raise ValueError(f"ranges are no whole numbers of elements of {self.dtype.itemsize} bytes")
        if out is None and total <= SMALL:
            out = np.zeros(total, np.uint8)
        if out is not None:
            _fits(out, total)
        self.out = out
        names = (
            [os.fspath(objects)]
            if isinstance(objects, str | os.PathLike)
            else [os.fspath(o) for o in objects]
        )
        source = Ranges(names, index, at, n)
        self.job: Job | None = None
        if len(at):
            self.job = submit(
                source,
                out=None if out is None else _bytes_of(out),
                merge=merge,
                on_error=on_error,
                fill=0 if on_error == "skip" else None,
                context=context,
                stream=False,
            )

    def end(self, result: Result | None) -> RangesResult:
        out = self.out if result is None else result.output
        assert out is not None
        flat = _bytes_of(out).view(self.dtype)
        errors = list(result.errors) if result else []
        return RangesResult(flat, self.offsets // self.dtype.itemsize, errors)  # type: ignore[arg-type]

    def wait(self, timeout: float | None) -> RangesResult:
        if self.job is None:
            return self.end(None)
        try:
            return self.end(self.job.result(timeout))
        except BaseException:
            self.job.cancel()
            self.job._let_go()
            raise

    async def come(self, timeout: float | None) -> RangesResult:
        if self.job is None:
            return self.end(None)
        return self.end(await _within(self.job, timeout))


async def _within(job: Job, timeout: float | None) -> Result:
    if timeout is None:
        return await job
    try:
        return await asyncio.wait_for(job._await(), timeout)
    except builtins.TimeoutError:
        raise TimeoutError(f"the read has not ended in {timeout:g} s") from None


def _late(name: str, timeout: float | None) -> TimeoutError:
    e = TimeoutError(f"{name}: the read has not ended in {timeout:g} s")
    e.url = name
    return e


class _One:
    """A plain read of one range, on its way: what a `Job` is in short."""

    __slots__ = ("__weakref__", "_core", "_future", "_name", "_out")

    def __init__(
        self,
        url: str | os.PathLike[str],
        start: int,
        end: int | None,
        length: int | None,
        out: npt.NDArray[Any] | None,
        context: Context,
        bridge: Bridge | None,
    ) -> None:
        if end is not None and length is not None:
            raise TypeError("give either end or length")
        n = length if length is not None else end - start if end is not None else -1
        if n < 0 and (end is not None or length is not None):
            raise ValueError("the range ends before it starts")
        if out is None:
            out = np.empty(n, np.uint8) if 0 <= n <= SMALL else None
        elif n >= 0:
            _fits(out, n)
        else:
            check_out(out)
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
    """
    return _One(url, start, end, length, out, context or default_context(), None).wait(timeout)


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
    return await _One(url, start, end, length, out, context, bridge_of(context)).come(timeout)


def get_ranges(
    url: str | os.PathLike[str],
    *,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    dtype: npt.DTypeLike = "u1",
    merge: str | int = "auto",
    on_error: str = "fail",
    timeout: float | None = None,
    context: Context | None = None,
) -> RangesResult:
    """Read many ranges of one object.

    Parameters
    ----------
    url : str or path
        Path or ``file://`` URL.
    starts : array_like of int
        First bytes.
    ends, lengths : array_like of int, or int
        Give one of them.
    out : ndarray, optional
        Where they go, one behind the other: writable, C-contiguous and of just that size.
    dtype : dtype
        Of the elements of what is returned.
    merge : {"auto", "never"} or int
        Which gaps are read through.
    on_error : {"fail", "skip"}
        Whether a range that can't be had ends it, or is left out.
    timeout : float, optional
        Seconds.
    context : Context, optional
        By default `default_context`.

    Returns
    -------
    RangesResult
        A sequence of arrays, views of one.
    """
    return _Many(url, None, starts, ends, lengths, out, dtype, merge, on_error, context).wait(timeout)


async def get_ranges_async(
    url: str | os.PathLike[str],
    *,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    dtype: npt.DTypeLike = "u1",
    merge: str | int = "auto",
    on_error: str = "fail",
    timeout: float | None = None,
    context: Context | None = None,
) -> RangesResult:
    """Read many ranges of one object; as `get_ranges`."""
    return await _Many(url, None, starts, ends, lengths, out, dtype, merge, on_error, context).come(timeout)


def _index(urls: Names, objects: npt.ArrayLike | None, starts: npt.ArrayLike) -> Any:
    """Without `objects` each range is of its own URL."""
    if objects is not None:
        return array_of(objects, np.uint32, len(np.atleast_1d(np.asarray(starts))))
    if isinstance(urls, str | os.PathLike):
        return None
    n = len(np.atleast_1d(np.asarray(starts)))
    if len(urls) != n and len(urls) != 1:
        raise ValueError(
            f"there are {len(urls)} URLs and {n} starts; with others, `objects` says whose each is"
        )
    return None


def cat_ranges(
    urls: Names,
    *,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    objects: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    dtype: npt.DTypeLike = "u1",
    merge: str | int = "auto",
    on_error: str = "fail",
    timeout: float | None = None,
    context: Context | None = None,
) -> RangesResult:
    """Read many ranges of many objects; as `get_ranges`.

    Parameters
    ----------
    urls : sequence of str or path
        Objects: one for each range, or those that `objects` indexes.
    objects : array_like of int, optional
        Index among `urls` of each range.
    starts, ends, lengths, out, dtype, merge, on_error, timeout, context
        As of `get_ranges`.
    """
    index = _index(urls, objects, starts)
    return _Many(urls, index, starts, ends, lengths, out, dtype, merge, on_error, context).wait(timeout)


async def cat_ranges_async(
    urls: Names,
    *,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    objects: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    dtype: npt.DTypeLike = "u1",
    merge: str | int = "auto",
    on_error: str = "fail",
    timeout: float | None = None,
    context: Context | None = None,
) -> RangesResult:
    """Read many ranges of many objects; as `cat_ranges`."""
    index = _index(urls, objects, starts)
    return await _Many(urls, index, starts, ends, lengths, out, dtype, merge, on_error, context).come(timeout)
