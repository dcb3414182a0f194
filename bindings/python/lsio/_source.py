"""What jobs read: files, ranges of objects, or what a whole job in Lua says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._context import Context, default_context

__all__ = ["Files", "Ranges", "Script", "files", "ranges"]

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Size = int | str


def _names(paths: Names) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(p) for p in paths]


@dataclass(frozen=True)
class Files:
    """Files, whole or cut into chunks: made by `files`."""

    paths: list[str]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranges:
    """Ranges of objects: made by `ranges`."""

    objects: list[str]
    object: npt.NDArray[np.uint32] | None = None
    offset: npt.NDArray[np.int64] | None = None
    length: npt.NDArray[np.int64] | None = None
    tag: npt.NDArray[np.int64] | None = None
    group: npt.NDArray[np.int64] | None = None

    def _request(self) -> _core.Request:
        names = [os.fsencode(name) for name in self.objects]
        arrays = (self.object, self.offset, self.length, self.tag, self.group)
        # What came from another process may lie anywhere, as part of a message.
        aligned = [None if a is None else np.require(a, requirements=("C", "A")) for a in arrays]
        return _core.Request(names, *aligned)


def files(
    paths: Names,
    *,
    chunk: Size | None = None,
    offset: Size | None = None,
    length: Size | None = None,
    whole: bool | None = None,
    missing: str | None = None,
    changing: str | None = None,
) -> Files:
    """Take files, cut into chunks or whole, as the source of a job.

    Parameters
    ----------
    paths : str, path or a sequence of them
        Paths, patterns (``*``, ``?``, ``[..]``, ``{a,b}``, ``**``) or ``file://`` URLs.
    chunk : int or str, optional
        Bytes of a chunk, or text such as "256KiB"; by default 1 MiB, or whole files where there is a codec.
    offset, length : int or str, optional
        Where to begin in each file, and how much to take; a negative offset counts from its end.
    whole : bool, optional
        One chunk a file.
    missing : {"error", "skip", "fill"}, optional
        What becomes of files that are not there.
    changing : {"error", "append"}, optional
        Whether files may grow while they are read.
    """
    options = dict(chunk=chunk, offset=offset, length=length, whole=whole, missing=missing, changing=changing)
    return Files(_names(paths), {k: v for k, v in options.items() if v is not None})


def array_of(v: Any, dtype: type, n: int | None = None) -> Any:
    if v is None:
        return None
    a = np.asarray(v)
    if a.size and a.dtype.kind not in "iu":
        raise TypeError(f"ranges are whole numbers, not {a.dtype}")
    if a.ndim == 0 and n is not None:
        a = np.full(n, a[()])
    if a.ndim != 1:
        raise ValueError(f"an array of ranges has one dimension, not {a.ndim}")
    if a.size and not np.can_cast(a.dtype, dtype):
        limits = np.iinfo(dtype)
        if a.min() < limits.min or a.max() > limits.max:
            raise OverflowError(f"{a.min()} to {a.max()} does not fit into {np.dtype(dtype)}")
    return np.ascontiguousarray(a, dtype)


def ranges(
    objects: Names,
    *,
    object: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
    length: npt.ArrayLike | None = None,
    tag: npt.ArrayLike | None = None,
    group: npt.ArrayLike | None = None,
) -> Ranges:
    """Take ranges of objects as the source of a job: arrays that are read where they lie.

    Parameters
    ----------
    objects : str, path or a sequence of them
        Paths or ``file://`` URLs, no patterns.
    object : array_like of int, optional
        Index among `objects` of each range; without it all are of the only one, or each of its own.
    offset : array_like of int, optional
        Bytes; negative ones count from the object's end. By default 0.
    length : array_like of int, or int, optional
        Bytes, or one number for all; -1, and by default, up to the object's end.
    tag : array_like of int, optional
        What results are known by, beside their step.
    group : array_like of int, optional
        Numbers that never fall: of a stream, all of a group come before the next.
    """
    first = next((np.atleast_1d(np.asarray(a)) for a in (offset, object, tag, group) if a is not None), None)
    n = None if first is None else len(first)
    return Ranges(
        _names(objects),
        array_of(object, np.uint32, n),
        array_of(offset, np.int64, n),
        array_of(length, np.int64, n),
        array_of(tag, np.int64, n),
        array_of(group, np.int64, n),
    )


class Script:
    """Lua text that is loaded once in a context, for many jobs.

    Parameters
    ----------
    source : str or path
        The text of a whole job (``return lsio.job { ... }``), or a `pathlib.Path` of it.
    name : str, optional
        By which messages call it, and beside which ``require`` looks; of a file its path.
    context : Context, optional
        Where it is loaded; by default the default one's.
    """

    def __init__(
        self, source: str | Path, *, name: str | None = None, context: Context | None = None
    ) -> None:
        self.text = source.read_text() if isinstance(source, Path) else source
        self.name = name or (str(source) if isinstance(source, Path) else "job")
        self.context = context
        self._loaded: tuple[Context, _core.Script] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_script, (self.text, self.name))

    def __repr__(self) -> str:
        return f"<lsio.Script {self.name}, {self.text.count(chr(10)) + 1} lines>"

    def _in(self, context: Context) -> _core.Script:
        if self._loaded is None or self._loaded[0] is not context:
            self._loaded = (context, context._core.script(self.text, self.name))
        return self._loaded[1]

    def check(self) -> None:
        """Load it now; raises `Error` for what is wrong with it."""
        self._in(self.context or default_context()).wait()


def _script(text: str, name: str) -> Script:
    return Script(text, name=name)
