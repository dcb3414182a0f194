"""One job on all workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsio._job import Job, Result
from lsio._source import Files, Ranges, Script
from lsio._submit import submit

__all__ = ["submit_shards"]


def _run(source: Any, transform: Any, job: Mapping[str, Any], shard: tuple[int, int]) -> Result:
    return submit(source, transform, shard=shard, **job).result()


def submit_shards(
    client: Any,
    source: Files | Ranges | Script | str | Path,
    transform: Any = None,
    *,
    shards: int | None = None,
    **job: Any,
) -> Any:
    """Run a job in parts, on the workers of a cluster, and merge what they end with.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster, whose workers see the same files under the same names.
    source, transform, **job
        As of `lsio.submit`, with ``state`` and reducers by name, or a whole job that has them. What can't be
        pickled can't be part of it.
    shards : int, optional
        Parts; by default as many as there are workers. An asynchronous client has to say it.

    Returns
    -------
    distributed.Future
        Of what `Job.merge` makes of the parts' results; or of the error of a part.
    """
    n = shards or max(1, len(client.nthreads()))
    parts = [client.submit(_run, source, transform, job, (i, n), pure=False) for i in range(n)]
    return client.submit(Job.merge, parts, pure=False)
