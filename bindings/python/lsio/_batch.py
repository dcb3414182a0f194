"""Batches: results of several steps, in memory that nobody has copied."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsio import _core

__all__ = ["Batch", "Chunk"]

RESULT = np.dtype(
    [("step", "u8"), ("tag", "i8"), ("begin", "u8"), ("length", "u8"), ("record", "u4"), ("flags", "u4")]
)

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

    The memory stays as long as the batch, or an array made of it: all that is kept may be more than the
    context's ``memory``, of which up to half is then not there for jobs that are to begin.

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
            data = data[: len(data) // item * item]
            begins, ends = begins // item, ends // item
        data = data.view(dtype)
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
