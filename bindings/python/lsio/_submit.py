"""From Python's arguments to a job: the script that says what is not said by others, and submission."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._bridge import bridge_of
from lsio._context import Context, default_context
from lsio._job import Job, check_out
from lsio._lua import (
    default_of,
    element_type,
    job_text,
    lua,
    numpy_dtype,
    plain,
    settings_of,
    transform_lines,
)
from lsio._source import Files, Ranges, Script, Size

__all__ = ["submit"]


def _is_lua(transform: Any) -> bool:
    return isinstance(transform, str | Path)


def _address(transform: Any) -> tuple[int, Any] | None:
    """Return the address of a compiled function, as of numba's cfunc, and what keeps it."""
    if transform is None or _is_lua(transform):
        return None
    address = getattr(transform, "address", None)
    if not isinstance(address, int):
        raise TypeError(
            f"a transform is Lua text, a path, or has an address as numba's cfunc; not {transform!r}"
        )
    return address, transform


def _context_of(source: Any) -> Context:
    own = source.context if isinstance(source, Script) else None
    return own or default_context()


def _result_type(type: npt.DTypeLike, out_type: npt.DTypeLike | None) -> np.dtype[Any]:
    return numpy_dtype(element_type(type if out_type is None else out_type))


def _table(
    source: Any,
    type: npt.DTypeLike,
    out_type: npt.DTypeLike | None,
    out: npt.NDArray[Any] | None,
    stream: bool,
    params: Mapping[str, Any] | None,
    **given: Any,
) -> dict[str, str]:
    """Make the rows of a job's table, as Lua; of what is a job without one, none."""
    if not isinstance(source, Files | Ranges):
        return {}
    rows = {k: lua(v) for k, v in given.items() if v is not None}
    if isinstance(source, Files):
        rows["source"] = f"lsio.files({lua(source.paths)}, {lua(source.options)})"
    rows["type"] = lua(element_type(type))
    if params:
        rows["params"] = "{ " + ", ".join(f"[{lua(k)}] = {default_of(v)}" for k, v in params.items()) + " }"
    if out is not None:
        rows["sink"] = f"lsio.memory {{ type = {lua(element_type(out.dtype))} }}"
    elif not stream and "state" not in rows:
        rows["sink"] = f"lsio.memory {{ type = {lua(element_type(_result_type(type, out_type)))} }}"
    return rows


def _check_whole(**given: Any) -> None:
    """Refuse what a whole job says by itself."""
    names = [name for name, v in given.items() if v is not None]
    if names:
        raise TypeError(
            f"a whole job says in Lua what its {', '.join(names)} {'is' if len(names) == 1 else 'are'}"
        )


def _whole_text(source: str | Path) -> tuple[str, str]:
    """Return the text of a whole job, and its name: of a file its path."""
    if isinstance(source, str) and "\n" not in source and os.path.isfile(source):
        if not source.endswith(".lua"):
            raise TypeError(f"{source} is a file, not a job: give lsio.files({source!r})")
        source = Path(source)
    return (source.read_text(), str(source)) if isinstance(source, Path) else (source, "job")


def _needs_script(source: Any, transform: Any, table: Mapping[str, str]) -> bool:
    """Say whether more is asked for than bytes as they are stored."""
    if transform is not None or isinstance(source, Files):
        return True
    more = {"codec", "fill", "state", "piece", "out_max"} & set(table)
    return bool(more) or table["type"] not in ('"u8"', '"|u1"')


def _script_of(
    source: Any, transform: Any, table: dict[str, str], context: Context
) -> tuple[str | None, str | None, _core.Script | None]:
    """Return the text of the job, its name, or the script that is loaded."""
    if isinstance(source, Script):
        return None, None, source._in(context)
    if not table:
        return *_whole_text(source), None
    if not _needs_script(source, transform, table):
        return None, None, None
    text = None
    if _is_lua(transform):
        text = transform.read_text() if isinstance(transform, Path) else transform
        table["transform"] = "transform"
    return job_text(table, text), str(transform) if isinstance(transform, Path) else "transform", None


def submit(
    source: Files | Ranges | Script | str | Path,
    transform: Any = None,
    *,
    type: npt.DTypeLike = "u8",
    codec: str | None = None,
    decoded: Size | None = None,
    piece: Size | None = None,
    params: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
    state: str | None = None,
    reduce: str | Mapping[str, str] | None = None,
    out: npt.NDArray[Any] | None = None,
    out_type: npt.DTypeLike | None = None,
    out_max: int | None = None,
    stream: bool | None = None,
    order: str = "completed",
    on_error: str | None = None,
    fill: float | None = None,
    merge: str | int | None = None,
    seed: int | None = None,
    shard: tuple[int, int] | None = None,
    limit: int | None = None,
    deadline: float | str | None = None,
    memory: Size | None = None,
    workers: int | None = None,
    progress: Any = None,
    context: Context | None = None,
    _flags: int = 0,
) -> Job:
    """Submit a job: read the chunks of a source, run a function on each while it is in the CPU's cache.

    Parameters
    ----------
    source : Files, Ranges, Script, str or Path
        What is read (`files`, `ranges`); or a whole job: a `Script`, the text of one, or its path. Of the
        arguments below such a job takes ``params``, ``args``, ``out``, ``stream``, ``order`` and settings.
    transform : str, Path or compiled function, optional
        Lua: ``"function(chunk, state, params) ... end"``, text that ends with ``return`` and a function, or
        a file of that. Or a compiled ``int32(lsio_step *, void *)``: what `lsio.numba` makes, or numba's
        ``cfunc``. Without it chunks are passed on as they are. What a streamed step yields it returns: text
        or a table, or with ``out_max`` how many elements it has written to ``chunk.out``.
    type : dtype or str
        Of the elements. LSIO's names come first, which say bits: "u8", "i16", "f32", "i16be"; then all that
        numpy knows: "<f4", np.int64, "f4". So "i8" and "u8" have 8 bits: 8 bytes are "i64" or np.int64.
    codec : str, optional
        "lz4", "lz4_block", "zstd", "gzip", "zlib", "blosc" or "auto".
    decoded, piece : int or str, optional
        Bytes that a chunk decodes to; bytes of the pieces in which large ones come.
    params : dict, optional
        What the transform gets as ``params``: numbers, text, bytes, lists, dicts, and arrays, which are not
        copied if they are C-contiguous, aligned and in native byte order. What is None is nil.
    args : sequence of str, optional
        Parameters of a whole job as on a command line.
    state : str, optional
        Fields of each worker's state, as C text: "double sum; int64_t n;".
    reduce : str or dict, optional
        How states are merged: "sum", or a reducer by field.
    out : ndarray, optional
        Where results go, in the order of the request; C-contiguous and writable. It is LSIO's until the job
        has ended: its result, leaving its ``with`` block, or a cancelled ``await`` wait for that.
    out_type : dtype, optional
        Of the results, if it is not ``type``, in the array that LSIO makes with ``stream=False``.
    out_max : int, optional
        Elements that a step may yield, which then returns how many.
    stream : bool, optional
        Whether results come as `Batch`; by default unless there are ``out``, ``state`` or a whole job.
    order : {"completed", "request"}
        In which batches come.
    on_error : {"fail", "skip"}, optional
        Whether a step that fails ends the job, or is left out, with ``fill`` in its place.
    fill : float, optional
        See ``on_error``.
    merge : {"auto", "never"} or int, optional
        Which gaps are read through.
    seed : int, optional
        Of ``chunk.random()``.
    shard : (int, int), optional
        (i, n): the i-th of n parts.
    limit : int, optional
        Steps at most.
    deadline : float or str, optional
        Seconds, or text such as "5m", from now on. As after ``cancel``, a step that runs is let end.
    memory, workers : optional
        What the job may use of the context's. A job whose batches are not taken keeps what it has: who waits
        for another one meanwhile may wait for ever, if both do not fit.
    progress : bool or tqdm's class, optional
        Show a bar.
    context : Context, optional
        By default `default_context`.

    Returns
    -------
    Job
        Returns at once; what is wrong with the script or its source is raised by the job's result.
    """
    if order not in ("completed", "request"):
        raise ValueError(f'order must be "completed" or "request", not {order!r}')
    whole = not isinstance(source, Files | Ranges)
    if whole and not isinstance(source, Script | str | Path):
        raise TypeError(f"a source is files(...), ranges(...) or a whole job, not {source!r}")
    if whole:
        _check_whole(type=None if type == "u8" else type, transform=transform, state=state, reduce=reduce,
                     codec=codec, decoded=decoded, piece=piece, out_type=out_type, out_max=out_max, fill=fill,
                     seed=seed, merge=merge, on_error=on_error)  # fmt: skip
    if state is not None and reduce is None:
        raise TypeError('`state` wants `reduce`: how the workers\' states are merged, such as "sum"')
    if out is not None:
        check_out(out)
    if getattr(transform, "state", state) != state:
        raise ValueError(f"the transform is compiled for the state {transform.state!r}, not for {state!r}")
    if stream is None:
        stream = not whole and state is None and out is None
    if stream and out_type is not None and _result_type(out_type, None) != _result_type(type, None):
        raise ValueError("what a job streams is of its `type`; `out_type` is for results in an array")
    context = context or _context_of(source)
    if params is not None:
        params = plain({k: v for k, v in params.items() if v is not None})
    table = _table(
        source, type, out_type, out, stream, params,
        codec=codec, decoded=decoded, piece=piece, out_max=out_max, on_error=on_error, merge=merge, seed=seed,
        state=state, reduce=reduce, fill=None if fill is None else float(fill),
    )  # fmt: skip
    script, name, loaded = _script_of(source, transform, table, context)
    settings = settings_of(
        deadline=deadline,
        memory=memory,
        workers=workers,
        limit=limit,
        shard=f"{shard[0]}/{shard[1]}" if shard else None,
        on_error=on_error if script is None else None,
        merge=merge if script is None else None,
    )
    job = Job(context, stream, np.uint8 if whole else _result_type(type, out_type), out)
    job._has_state = whole or state is not None
    job._shard = shard
    if table and script is not None:
        job._own_lines = transform_lines(script)
    if progress:
        job._bar = _bar(progress)
    bridge = None if stream else bridge_of(context)
    if stream:
        job._queue = _core.Queue(context._core)
    cookie = bridge.add() if bridge else 0
    core = _core.submit(
        context._core,
        bridge.queue if bridge else job._queue,
        cookie,
        script,
        name,
        list(args) if args else None,
        settings,
        (_core.STREAM if stream else 0)
        | (_core.STATE_VALUE if job._has_state else 0)
        | _core.NO_STATE
        | _flags,
        _core.ORDER_REQUEST if stream and order == "request" else _core.ORDER_COMPLETED,
        loaded,
        source._request() if isinstance(source, Ranges) else None,
        out,
        params,
        _address(transform),
    )
    job._begin(core, bridge, cookie)
    return job


def _bar(progress: Any) -> Any:
    if progress is not True:
        return progress()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True wants tqdm: pip install tqdm") from None

    return tqdm(unit="B", unit_scale=True)
