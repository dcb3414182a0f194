"""Chunks as tensors: a dataset for ``torch.utils.data.DataLoader``."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from lsio._source import Files, Ranges, Script
from lsio._submit import submit

__all__ = ["ChunkDataset"]


class ChunkDataset(IterableDataset[Any]):
    """What a job streams: a tensor for each chunk, in memory that nobody has copied.

    Parameters
    ----------
    source, transform, **job
        As of `lsio.submit`. Arguments that make a job that does not stream (``state``, ``reduce``, ``out``,
        ``stream``) are none of them.
    copy : bool
        Whether tensors have memory of their own. Without it they hold memory of the job's, which waits when
        all it may have (``memory``) is held: so do not keep many.

    Notes
    -----
    Workers of a ``DataLoader`` read a part of the chunks each. With ``shard=(i, n)``, the part of one of n
    processes that train together, these are parts of that part. A worker has its share of the CPUs, unless
    ``workers`` says otherwise. LSIO may be used before workers are forked: a worker has a context of its own,
    also where ``context`` is given.

    With ``batch_size=None`` the loader passes chunks on; else it stacks so many of the same size. What a
    Lua transform returns as text comes as bytes. Each time it is iterated, the dataset is read anew.
    """

    def __init__(
        self,
        source: Files | Ranges | Script | str | Path,
        transform: Any = None,
        *,
        shard: tuple[int, int] | None = None,
        copy: bool = False,
        **job: Any,
    ) -> None:
        super().__init__()
        wrong = {"state", "reduce", "out", "stream"} & set(job)
        if wrong:
            raise TypeError(f"a dataset is a job that streams; it has no {', '.join(sorted(wrong))}")
        self._source, self._transform, self._shard, self._job = source, transform, shard, job
        self._copy = copy
        self._own = False  # the context is one of this worker's

    def _arguments(self) -> dict[str, Any]:
        """Return those of the job of this process."""
        worker, (i, n) = get_worker_info(), self._shard or (0, 1)
        if worker is None:
            return {**self._job, "shard": self._shard}
        if self._job.get("context") is not None and not self._own:  # the parent's, perhaps of before a fork
            self._job["context"], self._own = copy.copy(self._job["context"]), True
        cpus = max(1, len(os.sched_getaffinity(0)) // worker.num_workers)
        shard = (i * worker.num_workers + worker.id, n * worker.num_workers)
        return {"workers": cpus, **self._job, "shard": shard}

    def __iter__(self) -> Iterator[Any]:
        """Submit the job, and yield its tensors as they come."""
        with submit(self._source, self._transform, stream=True, **self._arguments()) as job:
            for batch in job:
                for chunk in batch.copy() if self._copy else batch:
                    data = chunk.data
                    yield data if isinstance(data, bytes) else torch.from_numpy(data)
