"""Transforms that numba compiles: they run in LSIO's threads, without Python's lock.

::

    import numpy as np
    import lsio, lsio.numba

    STATE = "double sum; int64_t n;"

    @lsio.numba.transform(STATE)
    def total(step, state):
        x = lsio.numba.data(step, np.float32)
        state.sum += x.sum()
        state.n += x.size
        return 0

    lsio.submit(lsio.files("data/*.f32"), total, type="f4", state=STATE, reduce="sum").result().state

`step` has the fields of ``lsio_step`` (see ``lsio.h``; pointers are addresses), `state` those of the state.
What such a function returns stands there too: 0, how many elements it has written to `out`, `NOTHING`, or an
error, as of `fail`. A step that raises an exception fails.
"""

from __future__ import annotations

from collections.abc import Callable
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
    "Transform",
    "data",
    "fail",
    "out",
    "pointer",
    "signature",
    "state_type",
    "step_type",
    "stopped",
    "transform",
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
    """Return the signature of a transform for ``numba.cfunc`` itself: of pointers, for ``numba.carray``.

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
    """In a transform: the chunk's bytes as an array of `dtype`, mostly the job's ``type``."""
    item = numba.carray(pointer(step.data), 0, dtype).itemsize
    return numba.carray(pointer(step.data), np.intp(step.bytes // item), dtype)


@register_jitable
def out(step: Any, dtype: Any) -> Any:
    """In a transform: where results go, as an array of `dtype`; of no elements where nobody wants one."""
    item = numba.carray(pointer(step.out), 0, dtype).itemsize
    n = np.intp(step.out_n * step.out_item // item) if step.out != 0 else 0
    return numba.carray(pointer(step.out), n, dtype)


@register_jitable
def stopped(step: Any) -> Any:
    """In a transform that takes long: whether the job is to end, so that it should return an error."""
    return _look(step.stop) != 0


@register_jitable
def fail(step: Any, text: Any, code: Any = TRANSFORM) -> Any:
    """In a transform: ``return fail(step, "why")``, the text in ASCII, the code `CORRUPT`, ..."""
    size: Any = np.intp(step.message_size)
    if size > 0:
        message = numba.carray(pointer(step.message), size, np.uint8)
        n = min(len(text), size - 1)
        for i in range(n):
            message[i] = ord(text[i]) & 127
        message[n] = 0
    return code


class Transform:
    """A compiled transform: made by `transform`. Pickled, it is compiled anew.

    Attributes
    ----------
    address : int
        Of the C function.
    state : str or None
        What `lsio.submit` must be given as ``state``.
    cfunc : numba's cfunc
    """

    def __init__(self, inner: Any, state: str | None) -> None:
        def with_state(step: Any, state: Any) -> Any:
            c = numba.carray(step, 1)[0]
            try:
                return inner(c, numba.carray(state, 1)[0])
            except Exception:
                return fail(c, "it raised an exception")

        def alone(step: Any, state: Any) -> Any:
            c = numba.carray(step, 1)[0]
            try:
                return inner(c)
            except Exception:
                return fail(c, "it raised an exception")

        self._inner, self.state = inner, state
        self.cfunc = numba.cfunc(signature(state))(alone if state is None else with_state)
        self.address: int = self.cfunc.address

    def __reduce__(self) -> tuple[Any, ...]:
        return (Transform, (self._inner, self.state))


def transform(state: str | None = None, **options: Any) -> Callable[[Callable[..., int]], Transform]:
    """Compile a function of (step, state), or of (step) alone if there is no state, as a transform.

    Parameters
    ----------
    state : str, optional
        As `lsio.submit` takes it.
    **options
        For ``numba.njit``, such as ``fastmath=True``.

    Returns
    -------
    decorator
        What it makes is for `lsio.submit`.
    """

    def decorate(function: Callable[..., int]) -> Transform:
        return Transform(numba.njit(**options)(function), state)

    return decorate
