"""What a compiled transform gets, for ctypes and what understands it: a step, and a worker's state."""

from __future__ import annotations

import ctypes
import re
from typing import Any

__all__ = ["state_ctypes", "step_ctypes"]


class step_ctypes(ctypes.Structure):
    """An ``lsio_step``, as ``lsio.h`` has it; there stands what the fields mean. Pointers are addresses."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("n", ctypes.c_uint64),
        ("out", ctypes.c_void_p),
        ("out_n", ctypes.c_uint64),
        ("scratch", ctypes.c_void_p),
        ("scratch_bytes", ctypes.c_uint64),
        ("index", ctypes.c_uint64),
        ("pos", ctypes.c_int64),
        ("object", ctypes.c_uint64),
        ("object_size", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("tag", ctypes.c_int64),
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint64),
        ("type", ctypes.c_void_p),
        ("out_type", ctypes.c_void_p),
        ("item", ctypes.c_uint32),
        ("out_item", ctypes.c_uint32),
        ("worker", ctypes.c_uint32),
        ("n_chunks", ctypes.c_uint32),
        ("user", ctypes.c_void_p),
        ("message", ctypes.c_void_p),
        ("message_size", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
    )


class _Moments(ctypes.Structure):
    _fields_ = (("n", ctypes.c_double), ("mean", ctypes.c_double), ("m2", ctypes.c_double))


_TYPES: dict[str, Any] = {
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "int": ctypes.c_int32,
    "unsigned": ctypes.c_uint32,
    "unsigned int": ctypes.c_uint32,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
    "lsio_moments": _Moments,
}
for _bits in (8, 16, 32, 64):
    for _kind, _name in (("i", "int"), ("u", "uint")):
        _TYPES[f"{_name}{_bits}_t"] = _TYPES[f"{_kind}{_bits}"] = getattr(ctypes, f"c_{_name}{_bits}")


def _field(text: str, ctype: Any) -> tuple[str, Any]:
    found = re.fullmatch(r"([A-Za-z_]\w*)\s*(?:\[\s*(\d+|0[xX][0-9a-fA-F]+)\s*\])?", text, re.ASCII)
    if not found:
        raise ValueError(f'state: "{text}" is neither a name nor name[count]')
    name, count = found.groups()
    n = None if count is None else int(count, 16) if count[:2] in ("0x", "0X") else int(count)
    return name, ctype if n is None else ctype * n


def state_ctypes(state: str) -> type[ctypes.Structure]:
    """Describe a worker's state.

    Parameters
    ----------
    state : str
        As `lsio.submit` takes it: "double sum, hist[16]; int64_t n;".

    Returns
    -------
    subclass of ctypes.Structure
    """
    fields = []
    text = re.sub(r"//[^\n]*", " ", re.sub(r"/\*.*?\*/", " ", state, flags=re.DOTALL))
    for statement in filter(None, (" ".join(s.split()) for s in text.split(";"))):
        found = re.fullmatch(r"(unsigned int|[A-Za-z_]\w*) (.+)", statement, re.ASCII)
        if not found:
            raise ValueError(f'state: "{statement}" is not a declaration; write "double sum, n;"')
        if found[1] not in _TYPES:
            raise ValueError(f"state: there is no type {found[1]!r}; valid: {', '.join(sorted(_TYPES))}")
        fields += [_field(word.strip(), _TYPES[found[1]]) for word in found[2].split(",")]
    if not fields:
        raise ValueError('state: no fields; write "double sum, n;"')
    return type("state", (ctypes.Structure,), {"_fields_": fields})
