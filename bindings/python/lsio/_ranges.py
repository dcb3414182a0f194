"""Bytes of objects, without a script: many ranges of one object, or of many."""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._context import Context
from lsio._errors import Error, TimeoutError
from lsio._job import Job, Result
from lsio._range import SMALL, Bytes, fits
from lsio._source import Names, Ranges, array_of
from lsio._submit import submit

__all__ = [
    "RangesResult",
    "cat_ranges",
    "cat_ranges_async",
    "get_ranges",
    "get_ranges_async",
]


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


def _bytes_of(out: npt.NDArray[Any]) -> Bytes:
    """Return the same memory as bytes: what is not C-contiguous would be copied, and its results lost."""
    if not out.flags.c_contiguous:
        raise ValueError("`out` must be C-contiguous")
    return out.reshape(-1).view(np.uint8)


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
            fits(out, total)
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
                _flags=_core.NO_ENV,  # with LSIO_LIMIT or the like it would be another read
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
