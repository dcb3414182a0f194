"""Transforms that numba compiles: they run in LSIO's threads, without Python's lock.

::

    import lsio, lsio.numba, numba, numpy as np

    STATE = "double sum; int64_t n;"

    @numba.cfunc(lsio.numba.signature(STATE))
    def total(step, state):
        x = lsio.numba.data(step, np.float32)
        state[0].sum += x.sum()
        state[0].n += x.size
        return 0

    lsio.submit(lsio.files("data/*.f32"), total, type="f4", state=STATE, reduce="sum").result().state

What such a function returns is said in ``lsio.h`` (``lsio_step``): 0, how many elements it has written to
`out`, `NOTHING`, or an error, as of `fail`. An exception does not leave it: numba prints it and the
step counts as done.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, register_jitable

from lsio._step import state_ctypes, step_ctypes

__all__ = [
    "ALIGNED",
    "CORRUPT",
    "FIRST",
    "LAST",
    "LENT",
    "LIMIT",
    "NOMEM",
    "NOTHING",
    "OUT_ALIGNED",
    "OUT_PADDED",
    "PADDED",
    "TRANSFORM",
    "UNSUPPORTED",
    "data",
    "fail",
    "out",
    "pointer",
    "signature",
    "state_type",
    "step_type",
    "stopped",
]

# enum lsio_step_flags
FIRST, LAST, ALIGNED, PADDED, LENT, OUT_ALIGNED, OUT_PADDED = 1, 2, 4, 8, 16, 32, 64
# what a step returns, beside how many elements
NOTHING = -1
TRANSFORM, CORRUPT, LIMIT, NOMEM, UNSUPPORTED = -7, -8, -9, -10, -12

step_type = numba.from_dtype(np.dtype(step_ctypes))


def state_type(state: str) -> Any:
    """Return numba's type of a worker's state, which `lsio.submit` takes as the same text."""
    return numba.from_dtype(np.dtype(state_ctypes(state)))


def signature(state: str | None = None) -> Any:
    """Return the signature for ``numba.cfunc`` of a transform.

    Parameters
    ----------
    state : str, optional
        As `lsio.submit` takes it. Without it the second argument is an untyped pointer.
    """
    pointer = types.voidptr if state is None else types.CPointer(state_type(state))
    return types.int32(types.CPointer(step_type), pointer)


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """In a transform: what an address of a step points to, as ``numba.carray`` takes it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.uint64), generate


@intrinsic
def _look(typing: Any, address: Any) -> Any:
    """Load an int32 that others change: each time anew."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.inttoptr(args[0], context.get_value_type(types.int32).as_pointer())
        return builder.load_atomic(at, "monotonic", 4)

    return types.int32(types.uint64), generate


@register_jitable
def data(step: Any, dtype: Any) -> Any:
    """In a transform: the chunk's elements, as an array of `dtype`, which must be the job's ``type``."""
    return numba.carray(pointer(step[0].data), np.intp(step[0].n), dtype)


@register_jitable
def out(step: Any, dtype: Any) -> Any:
    """In a transform: where results go, as an array of `dtype`; of no elements where nobody wants one."""
    n = np.intp(step[0].out_n) if step[0].out != 0 else 0
    return numba.carray(pointer(step[0].out), n, dtype)


@register_jitable
def stopped(step: Any) -> Any:
    """In a transform that takes long: whether the job is to end, so that it should return an error."""
    return _look(step[0].stop) != 0


@register_jitable
def fail(step: Any, text: Any, code: Any = TRANSFORM) -> Any:
    """In a transform: ``return fail(step, "why")``. The text is ASCII; `code` is `TRANSFORM`, `CORRUPT`, ..."""
    size = np.intp(step[0].message_size)
    if size > 0:
        message = numba.carray(pointer(step[0].message), size, np.uint8)
        n = min(len(text), size - 1)
        for i in range(n):
            message[i] = ord(text[i]) & 127
        message[n] = 0
    return code
