"""States of a job's shards, merged as the job itself would have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
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


def _concat(a: Any, b: Any, path: str) -> Any:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.concatenate([a, b])
    if isinstance(a, list | bytes | str) and type(a) is type(b):
        return a + b  # type: ignore[operator]
    raise TypeError(f"concat of {path} merges lists or strings, not {type(a).__name__}, {type(b).__name__}")


def _least(a: Any, b: Any) -> Any:
    return a if _nan(a) else b if _nan(b) or b < a else a


def _most(a: Any, b: Any) -> Any:
    return a if _nan(a) else b if _nan(b) or a < b else a


def _nan(v: Any) -> bool:
    return isinstance(v, float) and math.isnan(v)


# Of numbers and of arrays; NaN wins, as in Lua and in numpy.
OPERATORS: dict[str, tuple[Callable[[Any, Any], Any], np.ufunc]] = {
    "sum": (lambda a, b: a + b, np.add),
    "prod": (lambda a, b: a * b, np.multiply),
    "min": (_least, np.minimum),
    "max": (_most, np.maximum),
    "band": (lambda a, b: int(a) & int(b), np.bitwise_and),
    "bor": (lambda a, b: int(a) | int(b), np.bitwise_or),
}
REDUCERS = (*OPERATORS, "concat", "moments", "none")


def _merge_items(name: str, a: Any, b: Any, path: str) -> Any:
    """Merge tables item by item."""
    if isinstance(a, list):
        pairs = zip_longest(a, b)
        return [merge_values(name, x, y, f"{path}[{i}]") for i, (x, y) in enumerate(pairs)]
    keys = dict.fromkeys([*a, *b])
    return {k: merge_values(name, a.get(k), b.get(k), f"{path}.{k}") for k in keys}


def merge_values(name: str, a: Any, b: Any, path: str) -> Any:
    """Merge two values by a reducer; None is not there."""
    if a is None or b is None:
        return b if a is None else a
    if name == "concat":
        return _concat(a, b, path)
    if name == "moments" and isinstance(a, dict) and isinstance(b, dict):
        return _moments(a, b)
    if isinstance(a, dict | list) and type(a) is type(b):
        return _merge_items(name, a, b, path)
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    if name not in OPERATORS or not (numbers or arrays):
        raise TypeError(f"{name} of {path} can't merge {type(a).__name__} and {type(b).__name__}")
    if numbers:
        return OPERATORS[name][0](a, b)
    if a.shape != b.shape:
        raise ValueError(f"{path} has {a.size} and {b.size} elements")
    return OPERATORS[name][1](a, b)


def _check(how: str, what: str) -> None:
    if how == "function":
        raise TypeError(f"{what} is merged by a function in Lua: its parts have to be merged by a program")
    if how not in REDUCERS:
        raise TypeError(f"{what}: there is no reducer {how!r}; valid: {', '.join(REDUCERS)}")


def merge_states(reduce: str | Mapping[str, str] | None, states: Sequence[State]) -> State:
    """Merge states by the reducers of a job.

    Parameters
    ----------
    reduce : str or dict
        As of `lsio.submit`: one reducer for all fields, or one by field; "none" leaves a field out.
    states : sequence of dict
        `Result.state` of each shard, in their order.
    """
    merged: State = {}
    if reduce is None and any(states):
        raise TypeError("the job has no reducers, by which states are merged")
    for name in dict.fromkeys(name for s in states for name in s):
        how = reduce if isinstance(reduce, str) else (reduce or {}).get(name, "none")
        _check(how, "the state" if isinstance(reduce, str) else name)
        if how == "none":
            continue
        merged[name] = None
        for s in states:
            merged[name] = merge_values(how, merged[name], s.get(name), name)
    return merged


def added(stats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the counts and times of runs; what is no number is left to each."""
    total: dict[str, Any] = {}
    for one in stats:
        for name, v in one.items():
            if isinstance(v, int | float) and name != "exit_code":
                total[name] = total.get(name, 0) + v
    return total
