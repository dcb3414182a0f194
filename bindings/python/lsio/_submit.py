"""From Python's arguments to a job: sources, the script that says the rest, submission."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._bridge import bridge_of
from lsio._context import Context, default_context
from lsio._job import Job
from lsio._lua import default_of, element_type, job_text, lua, numpy_dtype, plain, settings_of

__all__ = ["Files", "Ranges", "Script", "files", "ranges", "submit"]

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Size = int | str


def _names(paths: Names) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(p) for p in paths]


@dataclass(frozen=True)
class Files:
    """Files, whole or cut into chunks: made by `files`."""

    paths: list[str]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranges:
    """Ranges of objects: made by `ranges`."""

    objects: list[str]
    object: npt.NDArray[np.uint32] | None = None
    offset: npt.NDArray[np.int64] | None = None
    length: npt.NDArray[np.int64] | None = None
    tag: npt.NDArray[np.int64] | None = None
    group: npt.NDArray[np.int64] | None = None

    def _request(self) -> _core.Request:
        names = [os.fsencode(name) for name in self.objects]
        return _core.Request(names, self.object, self.offset, self.length, self.tag, self.group)


def files(
    paths: Names,
    *,
    chunk: Size | None = None,
    offset: Size | None = None,
    length: Size | None = None,
    whole: bool | None = None,
    missing: str | None = None,
    changing: str | None = None,
) -> Files:
    """Take files, cut into chunks or whole, as the source of a job.

    Parameters
    ----------
    paths : str, path or a sequence of them
        Paths, patterns (``*``, ``?``, ``[..]``, ``{a,b}``, ``**``) or ``file://`` URLs.
    chunk : int or str, optional
        Bytes of a chunk, or text such as "256KiB"; by default 1 MiB, or whole files where there is a codec.
    offset, length : int or str, optional
        Where to begin in each file, and how much to take; a negative offset counts from its end.
    whole : bool, optional
        One chunk a file.
    missing : {"error", "skip", "fill"}, optional
        What becomes of files that are not there.
    changing : {"error", "append"}, optional
        Whether files may grow while they are read.
    """
    options = dict(chunk=chunk, offset=offset, length=length, whole=whole, missing=missing, changing=changing)
    return Files(_names(paths), {k: v for k, v in options.items() if v is not None})


def _array(v: Any, dtype: type, n: int | None = None) -> Any:
    if v is None:
        return None
    a = np.asarray(v)
    if a.size and a.dtype.kind not in "iu":
        raise TypeError(f"ranges are whole numbers, not {a.dtype}")
    if a.ndim == 0 and n is not None:
        a = np.full(n, a[()])
    if a.ndim != 1:
        raise ValueError(f"an array of ranges has one dimension, not {a.ndim}")
    if a.size and not np.can_cast(a.dtype, dtype):
        limits = np.iinfo(dtype)
        if a.min() < limits.min or a.max() > limits.max:
            raise OverflowError(f"{a.min()} to {a.max()} does not fit into {np.dtype(dtype)}")
    return np.ascontiguousarray(a, dtype)


def ranges(
    objects: Names,
    *,
    object: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
    length: npt.ArrayLike | None = None,
    tag: npt.ArrayLike | None = None,
    group: npt.ArrayLike | None = None,
) -> Ranges:
    """Take ranges of objects as the source of a job: arrays that are read where they lie.

    Parameters
    ----------
    objects : str, path or a sequence of them
        Paths or ``file://`` URLs, no patterns.
    object : array_like of int, optional
        Index among `objects` of each range; without it all are of the only one, or each of its own.
    offset : array_like of int, optional
        Bytes; negative ones count from the object's end. By default 0.
    length : array_like of int, or int, optional
        Bytes, or one number for all; -1, and by default, up to the object's end.
    tag : array_like of int, optional
        What results are known by, beside their step.
    group : array_like of int, optional
        Numbers that never fall: of a stream, all of a group come before the next.
    """
    first = next((np.atleast_1d(np.asarray(a)) for a in (offset, object, tag, group) if a is not None), None)
    n = None if first is None else len(first)
    return Ranges(
        _names(objects),
        _array(object, np.uint32, n),
        _array(offset, np.int64, n),
        _array(length, np.int64, n),
        _array(tag, np.int64, n),
        _array(group, np.int64, n),
    )


class Script:
    """Lua text that is loaded once in a context, for many jobs.

    Parameters
    ----------
    source : str or path
        The text of a whole job (``return lsio.job { ... }``), or a `pathlib.Path` of it.
    name : str, optional
        By which messages call it, and beside which ``require`` looks; of a file its path.
    context : Context, optional
        Where it is loaded; by default the default one's.
    """

    def __init__(
        self, source: str | Path, *, name: str | None = None, context: Context | None = None
    ) -> None:
        self.text = source.read_text() if isinstance(source, Path) else source
        self.name = name or (str(source) if isinstance(source, Path) else "job")
        self.context = context
        self._loaded: tuple[Context, _core.Script] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_script, (self.text, self.name))

    def _in(self, context: Context) -> _core.Script:
        if self._loaded is None or self._loaded[0] is not context:
            self._loaded = (context, context._core.script(self.text, self.name))
        return self._loaded[1]

    def check(self) -> None:
        """Load it now; raises `Error` for what is wrong with it."""
        self._in(self.context or default_context()).wait()


def _script(text: str, name: str) -> Script:
    return Script(text, name=name)


# ---- submission


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
        if isinstance(source, Path):
            return source.read_text(), str(source), None
        return str(source), "job", None
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
        Of the elements: numpy's, or LSIO's own such as "f32" or "i16be".
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
        Where results go, in the order of the request; C-contiguous and writable.
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
        Seconds, or text such as "5m", from now on.
    memory, workers : optional
        What the job may use of the context's.
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
    if whole and (transform is not None or state is not None or reduce is not None):
        raise TypeError("a whole job has its own transform, state and reduce")
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
        (_core.STREAM if stream else 0) | (_core.STATE_VALUE if job._has_state else 0) | _core.NO_STATE,
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
    from tqdm.auto import tqdm

    return tqdm(unit="B", unit_scale=True)
