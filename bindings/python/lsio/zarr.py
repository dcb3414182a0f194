"""A store for zarr-python 3: ``zarr.open_array(lsio.zarr.LsioStore("a.zarr"), mode="r")``."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from lsio._context import Context
from lsio._errors import NotFoundError, UsageError
from lsio._range import get_range, get_range_async
from lsio._ranges import cat_ranges_async
from lsio._status import TRIES, changed, restless

__all__ = ["LsioStore"]

Span = tuple[str, int, int, os.stat_result]  # path, start, length, and the file that these are of


def _bounds(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    """Start and end of what a request is for, within `size` bytes."""
    if wanted is None:
        start, end = 0, size
    elif isinstance(wanted, RangeByteRequest):
        start, end = wanted.start, wanted.end
    elif isinstance(wanted, OffsetByteRequest):
        start, end = wanted.offset, max(size, wanted.offset)
    elif isinstance(wanted, SuffixByteRequest):
        start, end = max(0, size - wanted.suffix), size
    else:
        raise TypeError(f"Unexpected byte_range, got {wanted}.")
    if start < 0 or end < start:
        raise ValueError(f"{wanted} is no range of bytes: it ends before it starts, or starts before byte 0")
    return min(start, size), min(end, size)


class LsioStore(Store):
    """A folder on a local file system, for reading.

    What lists it is zarr's own `LocalStore`; chunks are read without a thread for each.

    Parameters
    ----------
    root : str or Path
        The folder.
    context : Context, optional
        By default `default_context`.
    """

    supports_writes: bool = False
    supports_deletes: bool = False
    supports_listing: bool = True
    _is_open: bool

    def __init__(self, root: str | Path, *, context: Context | None = None) -> None:
        super().__init__(read_only=True)
        self.root = Path(root)
        self.context = context

    def __str__(self) -> str:
        return self.root.absolute().as_uri()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.root == other.root

    __hash__ = None  # type: ignore[assignment]

    # ---- reading

    async def _open(self) -> None:
        self._look()
        await super()._open()

    def _look(self) -> None:
        if not self.root.exists():
            raise FileNotFoundError(f"{self.root} does not exist")

    def _span(self, key: str, wanted: ByteRequest | None) -> Span | None:
        """Which bytes a request is for, within the object; None if that is not there."""
        path = os.path.join(self.root, key)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            _bounds(wanted, 0)  # what is no request is an error all the same
            return None
        start, end = _bounds(wanted, status.st_size)
        return path, start, end - start, status

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value or a part of it; None if it is not there."""
        if not self._is_open:
            await self._open()
        for _ in range(TRIES):
            span = self._span(key, byte_range)
            if span is None:
                return None
            path, start, n, status = span
            try:
                data = (
                    await get_range_async(path, start=start, length=n, context=self.context) if n else _EMPTY
                )
            except NotFoundError:
                return None
            except UsageError:  # it may be shorter by now
                if not changed(path, status):
                    raise
                continue
            if not changed(path, status):
                return (prototype or default_buffer_prototype()).buffer.from_array_like(data)
        raise restless(path)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value or a part of it, without an event loop; None if it is not there."""
        if not self._is_open:
            self._look()
            self._is_open = True
        for _ in range(TRIES):
            span = self._span(key, byte_range)
            if span is None:
                return None
            path, start, n, status = span
            try:
                data = get_range(path, start=start, length=n, context=self.context) if n else _EMPTY
            except NotFoundError:
                return None
            except UsageError:
                if not changed(path, status):
                    raise
                continue
            if not changed(path, status):
                return (prototype or default_buffer_prototype()).buffer.from_array_like(data)
        raise restless(path)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of many values as one job; None for those that are not there."""
        if not self._is_open:
            await self._open()
        asked = list(key_ranges)
        spans = [self._span(key, wanted) for key, wanted in asked]
        there = [s for s in spans if s is not None]
        names = {path: k for k, path in enumerate(dict.fromkeys(s[0] for s in there))}
        try:
            got = await cat_ranges_async(
                list(names),
                objects=np.array([names[s[0]] for s in there], np.uint32),
                starts=np.array([s[1] for s in there], np.int64),
                lengths=np.array([s[2] for s in there], np.int64),
                context=self.context,
            )
        except (NotFoundError, UsageError):  # one has gone meanwhile, or is shorter
            return [await self.get(key, prototype, wanted) for key, wanted in asked]
        parts = iter(got)
        out: list[Buffer | None] = []
        for (key, wanted), span in zip(asked, spans, strict=True):
            if span is None:
                out.append(None)
                continue
            part = next(parts)
            if changed(span[0], span[3]):
                out.append(await self.get(key, prototype, wanted))
            else:  # of their own: one that is kept must not keep all others
                out.append(prototype.buffer.from_array_like(part.copy()))
        return out

    async def exists(self, key: str) -> bool:
        """Say whether there is such a value."""
        return self._span(key, None) is not None

    async def getsize(self, key: str) -> int:
        """Return how many bytes a value has."""
        span = self._span(key, None)
        if span is None:
            raise FileNotFoundError(key)
        return span[2]

    # ---- listing

    def _listing(self) -> LocalStore:
        return LocalStore(self.root, read_only=True)

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self._listing().list():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin so."""
        async for key in self._listing().list_prefix(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield what stands at the next level, without the prefix."""
        async for key in self._listing().list_dir(prefix):
            yield key

    # ---- what it does not do

    async def set(self, key: str, value: Buffer) -> None:
        """Raise: it is for reading."""
        self._no_writing()

    async def delete(self, key: str) -> None:
        """Raise: it is for reading."""
        self._no_writing()

    async def delete_dir(self, prefix: str) -> None:
        """Raise: it is for reading."""
        self._no_writing()

    async def clear(self) -> None:
        """Raise: it is for reading."""
        self._no_writing()

    def _no_writing(self) -> NoReturn:
        raise ValueError(
            "store was opened in read-only mode and does not support writing; "
            f"write with zarr.storage.LocalStore({str(self.root)!r})"
        )


_EMPTY: Any = np.empty(0, np.uint8)
