"""LSIO as a file system of fsspec's, for reading: ``fsspec.filesystem("lsio")``, or ``lsio:///data/x``."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from lsio._context import Context
from lsio._errors import Error, NotFoundError, UsageError
from lsio._range import get_range
from lsio._ranges import cat_ranges
from lsio._status import TRIES, changed, restless

__all__ = ["LsioFile", "LsioFileSystem"]

# What fsspec itself gives any file system.
KNOWN = {"asynchronous", "loop", "batch_size", "skip_instance_cache", "use_listings_cache", "max_paths",
         "listings_expiry_time", "target_options", "target_protocol", "auto_mkdir", "fo"}  # fmt: skip
_ERRORS_KEPT = 100  # of those that a result names


def _clipped(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """As a slice of `size` bytes has them; fsspec's ends may lie behind the object's."""
    begin, stop, _ = slice(start, end).indices(size)
    return begin, max(begin, stop)


class LsioFileSystem(AbstractFileSystem):
    """Local files, read by LSIO. What lists them is fsspec's own; what writes is an error.

    Parameters
    ----------
    context : Context, optional
        By default `default_context`.
    **storage_options
        As of fsspec's `AbstractFileSystem`; others are refused. It is not asynchronous.
    """

    protocol = "lsio"
    root_marker = "/"
    cachable = False  # by the text of its arguments, in which two contexts may look the same

    def __init__(self, *, context: Context | None = None, **storage_options: Any) -> None:
        if unknown := set(storage_options) - KNOWN:
            raise TypeError(f"no option of lsio's: {', '.join(sorted(unknown))}")
        if storage_options.get("asynchronous"):
            raise ValueError("this file system is synchronous; in an event loop use lsio.cat_ranges_async")
        super().__init__(**storage_options)
        self.context = context
        self._local = LocalFileSystem()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(p) for p in path]
        name = os.fspath(path)
        return LocalFileSystem._strip_protocol(name.removeprefix("lsio://"))

    @classmethod
    def _parent(cls, path: str) -> str:
        parent: str = LocalFileSystem._parent(cls._strip_protocol(path))
        return parent

    # ---- what is there

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """List a folder; as fsspec's local file system."""
        found: list[Any] = self._local.ls(self._strip_protocol(path), detail=detail, **kwargs)
        return found

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Describe a file or folder; as fsspec's local file system."""
        found: dict[str, Any] = self._local.info(self._strip_protocol(path), **kwargs)
        return found

    def created(self, path: str) -> Any:
        """Return when a file was made."""
        return self._local.created(self._strip_protocol(path))

    def modified(self, path: str) -> Any:
        """Return when a file was last written to."""
        return self._local.modified(self._strip_protocol(path))

    # ---- bytes

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Read bytes [start, end); negative ones count from the end, and what is behind it is left out."""
        name = self._strip_protocol(path)
        for _ in range(TRIES):
            status = _status(name)
            begin, stop = _clipped(status.st_size, start, end)
            try:
                data = get_range(name, start=begin, end=stop, context=self.context)
            except (NotFoundError, UsageError):  # it may have gone by now, or be shorter
                if not changed(name, status):
                    raise
                continue
            if not changed(name, status):
                return data.tobytes()
        raise restless(name)

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Read many ranges as one job.

        Parameters
        ----------
        paths : list of str
            The file of each.
        starts, ends : list of int or None, or one for all
            As of `cat_file`.
        max_gap : int, optional
            The largest gap in bytes that is read through; by default LSIO decides.
        on_error : {"return", "raise"}
            Whether what can't be had stands in the list as its exception.

        Returns
        -------
        list of bytes
        """
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        n = len(paths)
        starts = list(starts) if isinstance(starts, Iterable) else [starts] * n
        ends = list(ends) if isinstance(ends, Iterable) else [ends] * n
        if len(starts) != n or len(ends) != n:
            raise ValueError(f"there are {n} paths, but {len(starts)} starts and {len(ends)} ends")
        out: list[Any] = [b""] * n
        names: dict[str, int] = {}
        files: dict[str, os.stat_result | Exception] = {}
        asked: list[tuple[int, int, int, int]] = []  # place, object, start, length
        for i, path in enumerate(paths):
            name = self._strip_protocol(path)
            status = files.get(name)
            if status is None:
                status = files[name] = self._found(name)
            if isinstance(status, Exception):
                if on_error != "return":
                    raise status
                out[i] = status
                continue
            begin, stop = _clipped(status.st_size, starts[i], ends[i])
            if stop > begin:
                asked.append((i, names.setdefault(name, len(names)), begin, stop - begin))
        replaced: set[str] = set()
        try:
            if asked:
                self._read(list(names), asked, "never" if max_gap == 0 else max_gap or "auto", on_error, out)
        except Error:
            if not _replaced(files):
                raise
            replaced = set(files)  # all of them are to be read again: the job has ended
        replaced = replaced or _replaced(files)
        for i, path in enumerate(paths if replaced else ()):
            if self._strip_protocol(path) in replaced:
                out[i] = self._again(path, starts[i], ends[i], on_error)
        return out

    def _found(self, name: str) -> os.stat_result | Exception:
        """Say what file is there. Empty ones are opened: files as of /proc only say that they are empty."""
        try:
            status = _status(name)
            if status.st_size == 0:
                get_range(name, start=0, length=0, context=self.context)
            return status
        except (Error, OSError) as e:
            return e

    def _again(self, path: str, start: int | None, end: int | None, on_error: str) -> bytes | Exception:
        try:
            return self.cat_file(path, start, end)
        except (Error, OSError) as e:
            if on_error != "return":
                raise
            return e

    def _read(
        self,
        names: list[str],
        asked: list[tuple[int, int, int, int]],
        merge: str | int,
        on_error: str,
        out: list[Any],
    ) -> None:
        places, objects, starts, lengths = np.array(asked, np.int64).T
        got = cat_ranges(
            names,
            objects=objects.astype(np.uint32),
            starts=starts,
            lengths=lengths,
            merge=merge,
            on_error="skip" if on_error == "return" else "fail",
            context=self.context,
        )
        for place, part in zip(places.tolist(), got, strict=True):
            out[place] = part.tobytes()
        for e in got.errors:
            if e.step is not None:
                out[int(places[e.step])] = e
        if len(got.errors) < _ERRORS_KEPT:
            return
        for place, k, start, length in asked:  # more have failed than are named: ask for each
            out[place] = self._again(names[k], start, start + length, "return")

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Read whole files: all of them as one job."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and isinstance(path, str) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0], **kwargs)
        files = [p for p in paths if not self._local.isdir(p)]
        found = self.cat_ranges(files, 0, None, on_error="raise" if on_error == "raise" else "return")
        if on_error == "omit":
            return {p: b for p, b in zip(files, found, strict=True) if not isinstance(b, Exception)}
        return dict(zip(files, found, strict=True))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LsioFile:
        if mode != "rb":
            self._no_writing(path)
        name = self._strip_protocol(path)
        found = self._found(name)
        if isinstance(found, Exception):
            raise found
        size = block_size or "default"
        return LsioFile(self, name, mode, size, cache_options=cache_options, **kwargs)

    # ---- what it does not do

    def _no_writing(self, path: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise OSError(errno.EROFS, "lsio:// is for reading; write with fsspec.filesystem('file')", str(path))

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = mv = touch = pipe_file = put_file = _no_writing


def _status(name: str) -> os.stat_result:
    status = os.stat(name)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    return status


def _replaced(files: dict[str, os.stat_result | Exception]) -> set[str]:
    return {n for n, status in files.items() if isinstance(status, os.stat_result) and changed(n, status)}


class LsioFile(AbstractBufferedFile):
    """A file open for reading, by blocks that LSIO reads."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return get_range(self.path, start=start, end=end, context=self.fs.context).tobytes()
