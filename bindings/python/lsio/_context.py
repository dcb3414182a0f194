"""Contexts: threads and memory that jobs share."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from lsio import _core

__all__ = ["Context", "default_context"]

SETTLE_S = 2.0  # that jobs get at exit to end, all together
PRINT = 10  # level of what a script prints; lsio.log is 20, a warning of LSIO's 30

Log = Callable[[int, int, bytes], object]


def _say(job: int, level: int, text: bytes) -> None:
    """Where Python prints: so it is seen in a notebook."""
    stream = sys.stdout if level == PRINT else sys.stderr
    if stream is not None:
        stream.write(
            ("lsio: warning: " if level > 20 else "") + text.decode(errors="backslashreplace") + "\n"
        )


class Context:
    """Threads and memory for any number of jobs.

    Parameters
    ----------
    workers : int, optional
        Threads at most; by default the CPUs that the process may use.
    memory : int or str, optional
        Bytes for the buffers of all jobs, or text such as "2GiB"; by default 1 GiB, or a quarter of what is
        available if that is less.
    log : callable, optional
        Gets (number of the job, level, text as bytes) for what scripts print (level 10), what they log (20)
        and warnings (30), on threads of LSIO's. By default these go to ``sys.stdout`` and ``sys.stderr``.

    Notes
    -----
    Any thread may use one. Pickled, it is made anew with the same arguments. In a child of fork it raises
    `ForkError`.
    """

    def __init__(
        self, workers: int | None = None, memory: int | str | None = None, log: Log | None = None
    ) -> None:
        self._args = (workers, memory, log)
        settings = []
        if workers is not None:
            settings.append(f"workers={workers}")
        if memory is not None:
            settings.append(f"memory={memory}")
        self._core = _core.Context(settings, log or _say, 0)
        self._bridges: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Context, self._args)

    def __repr__(self) -> str:
        return f"lsio.Context(workers={self._args[0]}, memory={self._args[1]!r})"

    def stats(self) -> dict[str, int]:
        """Return how things stand: jobs, threads, and memory in bytes."""
        return self._core.stats()


_default: Context | None = None
_lock = threading.Lock()
running: weakref.WeakSet[Any] = weakref.WeakSet()  # jobs and reads


def default_context() -> Context:
    """Return the context that jobs without one use; a child of fork gets one of its own."""
    global _default
    with _lock:
        if _default is None:
            _default = Context()
        return _default


def _in_child() -> None:
    global _default, _lock
    _lock = threading.Lock()
    _default = None
    running.clear()


def _at_exit() -> None:
    """Nothing of Python's is touched by a thread of LSIO's once the interpreter is gone."""
    try:
        for job in list(running):
            job.cancel()
        until = time.monotonic() + SETTLE_S
        for job in list(running):
            job._settle(until - time.monotonic())
    finally:  # of Ctrl-C too: else who ends the process waits for a step that does not return
        _core.at_exit()


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
