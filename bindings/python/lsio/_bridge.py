"""How an event loop hears of many jobs: one descriptor for all of them, one future each."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from lsio import _core

if TYPE_CHECKING:
    from lsio._context import Context

BATCH = 256
REST_S = 1.0


class Hears(Protocol):
    """What is told of a job's events."""

    def _heard(self, what: _core.Block | BaseException | None) -> None: ...


class Bridge:
    """Of one context and one loop. Its queue has one consumer: the loop's thread, while the loop runs."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # that of the loop's context leads here: it would keep itself
        self.thread = threading.get_ident()
        self.queue = _core.Queue(context._core)
        self.jobs: dict[int, Hears] = {}
        self._taking = threading.RLock()  # what is told may ask for more
        self._next = 0
        self._reads = False  # the loop listens
        self._rests = False  # it is to look whether it still has to

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, which is there while anything of it runs."""
        loop = self._loop()
        assert loop is not None
        return loop

    def idle(self) -> bool:
        """Whether the loop does not run: who waits then must look for itself."""
        loop = self._loop()
        return loop is None or not loop.is_running()

    def add(self) -> int:
        """Return what events of the next job are known by."""
        self._next += 1
        return self._next

    def watch(self, cookie: int, job: Hears) -> None:
        """Tell the job of what comes. The loop listens while there are any, and a second longer."""
        self.jobs[cookie] = job
        if not self._reads:
            self.loop.add_reader(self.queue.fileno(), self.pump)
            self._reads = True

    def pump(self, timeout_ms: int = 0) -> None:
        """Pass on what has come. In the loop's thread, or in any while that loop does not run."""
        with self._taking:
            for cookie, what in self.queue.take(BATCH, timeout_ms):
                job = self.jobs.get(cookie)
                if what is None:
                    self.jobs.pop(cookie, None)
                if job is not None:
                    job._heard(what)
        if not self.jobs and self._reads and not self._rests:
            loop = self._loop()
            if loop is None or loop.is_closed():
                self._reads = False
            else:
                self._rests = True
                loop.call_later(REST_S, self._rest)

    def _rest(self) -> None:
        """Let the loop, and so the context, go. To listen anew for each read would cost as much as it."""
        self._rests = False
        if not self.jobs and self._reads:
            self.loop.remove_reader(self.queue.fileno())
            self._reads = False


def bridge_of(context: Context) -> Bridge | None:
    """Return the bridge of this thread's running loop; None: there is no such loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    bridge: Bridge | None = context._bridges.get(loop)
    if bridge is None:
        for old in context._bridges.keyrefs():
            if (other := old()) is not None and other.is_closed():
                context._bridges.pop(other, None)  # what it waits for may keep it
        bridge = Bridge(context, loop)
        context._bridges[loop] = bridge
    return bridge
