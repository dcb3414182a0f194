"""LSIO: read millions of chunks, and run a function on each while it is in the CPU's cache."""

from lsio import _core, _errors
from lsio._batch import Batch, Chunk
from lsio._context import Context, default_context
from lsio._errors import (
    AccessError,
    CancelledError,
    CorruptError,
    Error,
    ForkError,
    LimitError,
    NotFoundError,
    OutputError,
    SourceError,
    TimeoutError,
    TransformError,
    UsageError,
)
from lsio._job import Job, Result
from lsio._range import get_range, get_range_async
from lsio._ranges import (
    RangesResult,
    cat_ranges,
    cat_ranges_async,
    get_ranges,
    get_ranges_async,
)
from lsio._source import Files, Ranges, Script, files, ranges
from lsio._step import state_ctypes, step_ctypes
from lsio._submit import submit

_core.set_error_factory(_errors.make)
__version__ = _core.version()


def doctor() -> str:
    """Return a report about this machine: CPUs, memory, how files are read, and why one way is refused."""
    return _core.doctor()


__all__ = [
    "AccessError",
    "Batch",
    "CancelledError",
    "Chunk",
    "Context",
    "CorruptError",
    "Error",
    "Files",
    "ForkError",
    "Job",
    "LimitError",
    "NotFoundError",
    "OutputError",
    "Ranges",
    "RangesResult",
    "Result",
    "Script",
    "SourceError",
    "TimeoutError",
    "TransformError",
    "UsageError",
    "cat_ranges",
    "cat_ranges_async",
    "default_context",
    "doctor",
    "files",
    "get_range",
    "get_range_async",
    "get_ranges",
    "get_ranges_async",
    "ranges",
    "state_ctypes",
    "step_ctypes",
    "submit",
]
