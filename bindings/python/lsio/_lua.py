"""What a job is in Lua: its values, types and text; settings, and parameters as the extension takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

DEPTH_MAX = 64  # of lists and dicts in parameters


def _quoted(text: str) -> str:
    """Text as Lua writes it, whatever bytes it has."""
    raw = os.fsencode(text)
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in raw) + '"'


def lua(v: Any) -> str:
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
        return "{ " + ", ".join(f"[{lua(k)}] = {lua(x)}" for k, x in v.items()) + " }"
    if isinstance(v, Iterable):
        return "{ " + ", ".join(lua(x) for x in v) + " }"
    raise TypeError(f"{type(v).__name__} has no place in a job")


def element_type(dtype: npt.DTypeLike) -> str:
    """LSIO's name of an element type: numpy's, or its own, which numpy may not know."""
    if dtype is None:
        raise TypeError("a type of elements is wanted, not None")
    if (
        isinstance(dtype, str)
        and dtype[:1] in "iuf"
        and dtype != "f8"  # numpy's alone; i8 and u8 are LSIO's
        and dtype[1:].removesuffix("be") in ("8", "16", "32", "64")
    ):
        return dtype
    d = np.dtype(dtype)
    return "|u1" if d.kind == "b" else d.str


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return numpy's type for elements of LSIO's type, as results have them: in native byte order."""
    if name[:1] in "iuf" and name[1:].removesuffix("be").isdigit() and int(name[1:].removesuffix("be")) > 4:
        bits = int(name[1:].removesuffix("be"))
        if bits in (8, 16, 32, 64):
            return np.dtype(f"{name[0]}{bits // 8}")
    return np.dtype(name).newbyteorder("=")


def default_of(v: Any) -> str:
    """Return what a parameter is declared with: something of its kind."""
    if isinstance(v, np.ndarray):
        return f"lsio.k.array({_quoted(element_type(v.dtype))}, 1)"
    if isinstance(v, bool | np.bool_):
        return "false"
    if isinstance(v, int | float | np.integer | np.floating):
        return "0"
    return '""' if isinstance(v, str | bytes) else "{ {} }"


FUNCTION = re.compile(r"(?:\s|--\[\[.*?\]\]|--[^\n]*\n)*function\b\s*\(", re.DOTALL)
NO_FUNCTION = (
    'if type(transform) ~= "function" then error("the transform is no function: its text must begin with '
    '`function(chunk, ...)`, or end with `return` and one", 0) end\n'
)


def _transform_text(transform: str) -> str:
    """On the script's first line begins the transform's: its lines keep their numbers."""
    body = "return " + transform if FUNCTION.match(transform) else transform
    return f'local lsio = require "lsio"; local transform = (function() {body}\nend)()\n{NO_FUNCTION}'


def transform_lines(script: str) -> int:
    """Return how many lines of the script are the transform's; what stands behind them is the arguments'."""
    head, made, _ = script.partition(f"\nend)()\n{NO_FUNCTION}")
    return head.count("\n") + 1 if made else 0


def job_text(table: Mapping[str, str], transform: str | None) -> str:
    head = _transform_text(transform) if transform is not None else 'local lsio = require "lsio"\n'
    rows = "".join(f"  {k} = {v},\n" for k, v in table.items())
    return f"{head}return lsio.job {{\n{rows}}}\n"


# ---- settings and parameters


def settings_of(**given: Any) -> list[str]:
    return [f"{k.replace('_', '-')}={_setting(v)}" for k, v in given.items() if v is not None]


def _setting(v: Any) -> str:
    """As settings are written: digits, and no exponent."""
    return np.format_float_positional(v, trim="-") if isinstance(v, float) and np.isfinite(v) else str(v)


def plain(v: Any, depth: int = 0) -> Any:
    """Make of numpy's numbers Python's, and of arrays such as LSIO can read where they lie."""
    if isinstance(v, np.generic):
        return v.item()
    if isinstance(v, np.ndarray | bytearray | memoryview):
        a = np.require(v, requirements=("C", "A"))
        return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))
    if depth > DEPTH_MAX:
        return v  # more than LSIO takes: it says so
    if isinstance(v, dict):
        return {k: plain(x, depth + 1) for k, x in v.items()}
    return [plain(x, depth + 1) for x in v] if isinstance(v, list | tuple) else v
