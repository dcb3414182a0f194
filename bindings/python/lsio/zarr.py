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
from lsio._errors import NotFoundError
from lsio._ranges import cat_ranges_async, get_range, get_range_async

__all__ = ["LsioStore"]

Span = tuple[str, int, int]  # path, start and length


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

    def _span(self, key: str, wanted: ByteRequest | None) -> Span | None:
        """Which bytes a request is for, within the object; None if that is not there."""
        path = os.path.join(self.root, key)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is not None and not stat.S_ISREG(status.st_mode):
            status = None
        size = status.st_size if status else 0
        if wanted is None:
            start, end = 0, size
        elif isinstance(wanted, RangeByteRequest):
            start, end = wanted.start, wanted.end
        elif isinstance(wanted, OffsetByteRequest):
            start, end = wanted.offset, size
        elif isinstance(wanted, SuffixByteRequest):
            start, end = size - wanted.suffix, size
        else:
            raise TypeError(f"Unexpected byte_range, got {wanted}.")
        start, end = min(max(0, start), size), min(end, size)
        return (path, start, max(0, end - start)) if status else None

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value or a part of it; None if it is not there."""
        if not self._is_open:
            await self._open()
        span = self._span(key, byte_range)
        if span is None:
            return None
        path, start, n = span
        try:
            data = await get_range_async(path, start=start, length=n, context=self.context) if n else _EMPTY
        except NotFoundError:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_array_like(data)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value or a part of it, without an event loop; None if it is not there."""
        span = self._span(key, byte_range)
        if span is None:
            return None
        path, start, n = span
        try:
            data = get_range(path, start=start, length=n, context=self.context) if n else _EMPTY
        except NotFoundError:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_array_like(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of many values as one job; None for those that are not there."""
        asked = list(key_ranges)
        spans = [self._span(key, wanted) for key, wanted in asked]
        there = [s for s in spans if s is not None]
        try:
            got = await cat_ranges_async(
                [s[0] for s in there],
                starts=np.array([s[1] for s in there], np.int64),
                lengths=np.array([s[2] for s in there], np.int64),
                context=self.context,
            )
        except NotFoundError:  # one has gone meanwhile
            return [await self.get(key, prototype, wanted) for key, wanted in asked]
        # Of their own: one that is kept must not keep all others.
        parts = iter(got)
        return [None if s is None else prototype.buffer.from_array_like(next(parts).copy()) for s in spans]

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

    def _no_writing(self) -> NoReturn:
        raise ValueError(
            "store was opened in read-only mode and does not support writing; "
            f"write with zarr.storage.LocalStore({str(self.root)!r})"
        )


_EMPTY: Any = np.empty(0, np.uint8)
