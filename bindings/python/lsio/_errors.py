"""Exceptions: one class for each thing that a program may want to handle, each a built-in one as well."""

from __future__ import annotations

import builtins
import os

__all__ = [
    "AccessError",
    "CancelledError",
    "CorruptError",
    "Error",
    "ForkError",
    "LimitError",
    "NotFoundError",
    "OutputError",
    "TimeoutError",
    "TransformError",
]

NONE = 2**64 - 1  # what LSIO has where an error is about no offset, length or step


class Error(Exception):
    """What went wrong, in one line that says what, where and what to do.

    Attributes
    ----------
    code : int
        LSIO's code, as in ``lsio.h``: which part of a job failed.
    kind : int
        Why it failed (``enum lsio_kind``).
    url : str
        The object it is about, or "".
    offset, length, step : int or None
        Bytes of the object, and the index of the step.
    script : str
        The Lua text it comes from, or "".
    line : int
        Line in that, from 1 on; 0 where there is none.
    os_code : int
        errno, or 0.
    retryable : bool
        The same request may succeed when it is made again as it is.
    """

    code: int = 0
    kind: int = 0
    url: str = ""
    offset: int | None = None
    length: int | None = None
    step: int | None = None
    script: str = ""
    line: int = 0
    os_code: int = 0
    retryable: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), str(self), dict(self.__dict__)))

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFoundError(Error, FileNotFoundError):
    """A source, or the folder of an output, is not there."""


class AccessError(Error, PermissionError):
    """Not allowed, or a read-only file system."""


class TimeoutError(Error, builtins.TimeoutError):
    """A deadline has passed, or a wait has taken too long."""


class TransformError(Error):
    """The job's own code failed; ``script`` and ``line`` say where."""


class CorruptError(Error, ValueError):
    """Data are not what they should be."""


class LimitError(Error, MemoryError):
    """More than a limit allows, or no memory."""


class OutputError(Error, OSError):
    """An output exists, is full or may not be written."""


class CancelledError(Error):
    """The job was cancelled."""


class ForkError(Error, RuntimeError):
    """It was made before a fork, by the parent of this process."""


class UsageError(Error, ValueError):
    """A wrong argument, setting or script."""


class SourceError(Error, OSError):
    """A source can't be read, or changed while it was."""


# enum lsio_kind: 4 not found, 5 permission, ...
_BY_KIND: dict[int, type[Error]] = {
    2: UsageError,
    3: UsageError,
    4: NotFoundError,
    5: AccessError,
    6: OutputError,
    9: OutputError,
    10: TimeoutError,
    11: CancelledError,
    12: TransformError,
    13: CorruptError,
    14: LimitError,
    15: LimitError,
    18: ForkError,
}
_BY_CODE: dict[int, type[Error]] = {
    -2: UsageError,
    -3: UsageError,
    -4: SourceError,
    -5: SourceError,
    -6: OutputError,
    -7: TransformError,
    -8: CorruptError,
    -9: LimitError,
    -10: LimitError,
    -11: CancelledError,
    -15: ForkError,
    -16: TimeoutError,
}


def make(
    code: int,
    kind: int,
    message: str,
    url: str,
    offset: int,
    length: int,
    step: int,
    script: str,
    line: int,
    os_code: int,
    retryable: bool,
) -> Error:
    """Make the exception for an error of LSIO's; called by the extension."""
    cls = _BY_KIND.get(kind) or _BY_CODE.get(code, Error)
    if kind == 4 and code == -6:
        cls = OutputError
    e = cls(message)
    e.code, e.kind, e.url, e.script, e.line = code, kind, url, script, line
    e.offset, e.length, e.step = (None if n == NONE else n for n in (offset, length, step))
    e.os_code, e.retryable = os_code, retryable
    return _as_os_error(e)


def _as_os_error(e: Error) -> Error:
    """Fill in what programs look for in an OSError."""
    if isinstance(e, OSError):
        e.errno, e.filename = e.os_code or None, e.url or None
        e.strerror = os.strerror(e.os_code) if e.os_code else str(e)
    return e


def _restore(cls: type[Error], message: str, fields: dict[str, object]) -> Error:
    e = cls(message)
    e.__dict__.update(fields)
    return _as_os_error(e)


def of_arguments(e: BaseException, lines: int) -> BaseException:
    """Take the place in a script that arguments were made into out of an error: `lines` are the user's."""
    if not isinstance(e, Error):
        return e
    place = f"{e.script}:{e.line}: "
    if e.line > lines and str(e).startswith(place):
        e.args = (str(e).removeprefix(place),)
        e.script, e.line = "", 0
    return e
