"""States of a job's shards, merged as the job itself would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce as fold
from typing import Any

import numpy as np

State = dict[str, Any]


def _moments(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Merge counts, means and sums of squared differences (Chan, Golub and LeVeque, 1979)."""
    n = a["n"] + b["n"]
    if n == 0:
        return dict(a)
    delta = b["mean"] - a["mean"]
    return {
        "n": n,
        "mean": a["mean"] + delta * b["n"] / n,
        "m2": a["m2"] + b["m2"] + delta * delta * a["n"] * b["n"] / n,
    }


def _concat(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray):
        return np.concatenate([a, b])
    return a + b


def _add(a: Any, b: Any) -> Any:
    return a + b


def _multiply(a: Any, b: Any) -> Any:
    return a * b


def _least(a: Any, b: Any) -> Any:
    return np.minimum(a, b) if isinstance(a, np.ndarray) else min(a, b)


def _most(a: Any, b: Any) -> Any:
    return np.maximum(a, b) if isinstance(a, np.ndarray) else max(a, b)


def _and(a: Any, b: Any) -> Any:
    return a & b


def _or(a: Any, b: Any) -> Any:
    return a | b


REDUCERS = {
    "sum": _add,
    "prod": _multiply,
    "min": _least,
    "max": _most,
    "band": _and,
    "bor": _or,
    "concat": _concat,
    "moments": _moments,
}


def merge_states(reduce: str | Mapping[str, str] | None, states: Sequence[State]) -> State:
    """Merge states by the reducers of a job.

    Parameters
    ----------
    reduce : str or dict
        As of `lsio.submit`: one reducer for all fields, or one by field; "none" leaves a field out.
    states : sequence of dict
        `Result.state` of each shard, in their order.
    """
    if not states:
        return {}
    if reduce is None or (isinstance(reduce, str) and reduce not in REDUCERS):
        raise TypeError(
            f"states are merged by the names of reducers ({', '.join(REDUCERS)}), not by {reduce!r}"
        )
    merged: State = {}
    for name in states[0]:
        how = reduce if isinstance(reduce, str) else reduce.get(name, "none")
        if how == "none":
            continue
        if how not in REDUCERS:
            raise TypeError(f"{name}: there is no reducer {how!r}; valid: {', '.join(REDUCERS)}")
        merged[name] = fold(REDUCERS[how], (s[name] for s in states))
    return merged
