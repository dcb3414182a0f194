"""From Python's arguments to a job: sources, the script that says the rest, submission."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsio import _core
from lsio._bridge import bridge_of
from lsio._context import Context, default_context
from lsio._job import Job

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


# ---- Lua text


def _quoted(text: str) -> str:
    """Text as Lua writes it, whatever bytes it has."""
    raw = os.fsencode(text)
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in raw) + '"'


def _lua(v: Any) -> str:
    if v is None:
        return "nil"
    if isinstance(v, bool | np.bool_):
        return "true" if v else "false"
    if isinstance(v, str):
        return _quoted(v)
    if isinstance(v, int | np.integer):
        return str(int(v))
    if isinstance(v, float | np.floating):
        x = float(v)
        return "0/0" if x != x else "math.huge" if x == np.inf else "-math.huge" if x == -np.inf else repr(x)
    if isinstance(v, Mapping):
        return "{ " + ", ".join(f"[{_lua(k)}] = {_lua(x)}" for k, x in v.items()) + " }"
    if isinstance(v, Iterable):
        return "{ " + ", ".join(_lua(x) for x in v) + " }"
    raise TypeError(f"{type(v).__name__} has no place in a job")


def _type(dtype: npt.DTypeLike) -> str:
    """LSIO's name of an element type: numpy's, or its own, which numpy may not know."""
    if (
        isinstance(dtype, str)
        and dtype[:1] in "iuf"
        and dtype != "f8"  # numpy's alone; i8 and u8 are LSIO's
        and dtype[1:].removesuffix("be") in ("8", "16", "32", "64")
    ):
        return dtype
    d = np.dtype(dtype)
    return d.str if d.itemsize > 1 else {"b": "i1"}.get(d.kind, d.str)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return numpy's type for elements of LSIO's type, as results have them: in native byte order."""
    if name[:1] in "iuf" and name[1:].removesuffix("be").isdigit() and int(name[1:].removesuffix("be")) > 4:
        bits = int(name[1:].removesuffix("be"))
        if bits in (8, 16, 32, 64):
            return np.dtype(f"{name[0]}{bits // 8}")
    return np.dtype(name).newbyteorder("=")


def _default(v: Any) -> str:
    """Return what a parameter is declared with: something of its kind."""
    if isinstance(v, np.ndarray):
        return f"lsio.k.array({_quoted(_type(v.dtype))}, 1)"
    if isinstance(v, bool | np.bool_):
        return "false"
    if isinstance(v, int | float | np.integer | np.floating):
        return "0"
    return '""' if isinstance(v, str | bytes) else "{ {} }"


def _source_text(source: Files) -> str:
    options = ", ".join(f"{k} = {_lua(v)}" for k, v in source.options.items())
    return f"lsio.files({_lua(source.paths)}, {{ {options} }})"


def _transform_text(transform: str) -> str:
    """On the script's first line begins the transform's: its lines keep their numbers."""
    body = "return " + transform if transform.lstrip().startswith("function") else transform
    return f'local lsio = require "lsio"; local transform = (function() {body}\nend)()\n'


def _job_text(table: Mapping[str, str], transform: str | None) -> str:
    head = _transform_text(transform) if transform else 'local lsio = require "lsio"\n'
    rows = "".join(f"  {k} = {v},\n" for k, v in table.items())
    return f"{head}return lsio.job {{\n{rows}}}\n"


# ---- submission


def _settings(**given: Any) -> list[str]:
    return [f"{k.replace('_', '-')}={v}" for k, v in given.items() if v is not None]


def _plain(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if params is None:
        return None
    return {k: np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v for k, v in params.items()}


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
    return numpy_dtype(_type(type if out_type is None else out_type))


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
    rows = {k: _lua(v) for k, v in given.items() if v is not None}
    if isinstance(source, Files):
        rows["source"] = _source_text(source)
    rows["type"] = _lua(_type(type))
    if params:
        rows["params"] = "{ " + ", ".join(f"{k} = {_default(v)}" for k, v in params.items()) + " }"
    if out is not None:
        rows["sink"] = f"lsio.memory {{ type = {_lua(_type(out.dtype))} }}"
    elif not stream and "state" not in rows:
        rows["sink"] = f"lsio.memory {{ type = {_lua(_type(_result_type(type, out_type)))} }}"
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
    lua = None
    if _is_lua(transform):
        lua = transform.read_text() if isinstance(transform, Path) else transform
        table["transform"] = "transform"
    return _job_text(table, lua), str(transform) if isinstance(transform, Path) else "transform", None


def submit(
    source: Files | Ranges | Script | str | Path | None,
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
        copied.
    args : sequence of str, optional
        Parameters of a whole job as on a command line.
    state : str, optional
        Fields of each worker's state, as C text: "double sum; int64_t n;".
    reduce : str or dict, optional
        How states are merged: "sum", or a reducer by field.
    out : ndarray, optional
        Where results go, in the order of the request; C-contiguous and writable.
    out_type : dtype, optional
        Of the results, if it is not ``type``.
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
    if whole and (transform is not None or state is not None or reduce is not None):
        raise TypeError("a whole job has its own transform, state and reduce")
    if getattr(transform, "state", state) != state:
        raise ValueError(f"the transform is compiled for the state {transform.state!r}, not for {state!r}")
    if stream is None:
        stream = not whole and state is None and out is None
    context = context or _context_of(source)
    table = _table(
        source, type, out_type, out, stream, params,
        codec=codec, decoded=decoded, piece=piece, out_max=out_max, on_error=on_error, merge=merge, seed=seed,
        state=state, reduce=reduce, fill=None if fill is None else float(fill),
    )  # fmt: skip
    script, name, loaded = _script_of(source, transform, table, context)
    settings = _settings(
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
    job._reduce = reduce
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
        _plain(params),
        _address(transform),
    )
    job._begin(core, bridge, cookie)
    return job


def _bar(progress: Any) -> Any:
    if progress is not True:
        return progress()
    from tqdm.auto import tqdm

    return tqdm(unit="B", unit_scale=True)
