"""One job on all workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsio._job import Result
from lsio._merge import merge_states
from lsio._submit import Files, Ranges, Script, submit

__all__ = ["submit_shards"]


def _run(source: Any, transform: Any, job: Mapping[str, Any], shard: tuple[int, int]) -> Result:
    return submit(source, transform, shard=shard, **job).result()


def _merge(reduce: str | Mapping[str, str], parts: list[Result]) -> dict[str, Any]:
    return merge_states(reduce, [p.state for p in parts])


def submit_shards(
    client: Any,
    source: Files | Ranges | Script | str | Path,
    transform: Any = None,
    *,
    reduce: str | Mapping[str, str],
    shards: int | None = None,
    **job: Any,
) -> Any:
    """Run a job in parts, on the workers of a cluster, and merge what they end with.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster, whose workers see the same files under the same names.
    source, transform, **job
        As of `lsio.submit`, with ``state``, or a whole job that ends with one. What can't be pickled can't be
        part of it.
    reduce : str or dict
        As of `lsio.submit`; of a whole job, how its states are merged.
    shards : int, optional
        Parts; by default as many as there are workers. An asynchronous client has to say it.

    Returns
    -------
    distributed.Future
        Of the state, as `lsio.Result` has it of the job as a whole; or of the error of a part.
    """
    n = shards or max(1, len(client.nthreads()))
    if isinstance(source, Files | Ranges):
        job["reduce"] = reduce
    parts = [client.submit(_run, source, transform, job, (i, n), pure=False) for i in range(n)]
    return client.submit(_merge, reduce, parts, pure=False)
