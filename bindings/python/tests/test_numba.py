"""Transforms that numba compiles, against numpy; and how a step lies in memory."""

import ctypes
import gc
import pickle
import time
import weakref

import numpy as np
import pytest

import lsio
from lsio import _core

numba = pytest.importorskip("numba")
import lsio.numba as ln  # noqa: E402

FIGURES = "double sum, low; int64_t n;"
REDUCE = {"sum": "sum", "low": "min", "n": "sum"}


def figures():
    @ln.transform(FIGURES)
    def f(step, state):
        x = ln.data(step, np.float32)
        for v in x:
            state.sum += v
            state.low = min(state.low, v)
        state.n += x.size
        return 0

    return f


def test_a_step_is_what_the_header_says():
    size, fields, constants = _core.step_layout()
    assert {name: getattr(ln, name) for name in constants} == constants
    own = [(f[0], getattr(lsio.step_ctypes, f[0]).offset, getattr(lsio.step_ctypes, f[0]).size)
           for f in lsio.step_ctypes._fields_]  # fmt: skip
    assert own == fields and ctypes.sizeof(lsio.step_ctypes) == size
    ends = [offset + n for _, offset, n in fields]
    assert [offset for _, offset, _ in fields] == [0, *ends[:-1]] and ends[-1] == size  # none is missing
    dtype = np.dtype(lsio.step_ctypes)
    assert {name: dtype.fields[name][1] for name in dtype.names} == {name: at for name, at, _ in fields}
    assert {name: ln.step_type.offset(name) for name in dtype.names} == {name: at for name, at, _ in fields}


def test_a_state_is_what_c_makes_of_it():
    s = lsio.state_ctypes(
        "double sum, /* of all */ hist[3];\nint8_t flag; // one\nunsigned int k; lsio_moments m; u16 x[0x2]"
    )
    at = {name: getattr(s, name).offset for name, _ in s._fields_}
    assert at == {"sum": 0, "hist": 8, "flag": 32, "k": 36, "m": 40, "x": 64} and ctypes.sizeof(s) == 72
    for wrong in ("", "double", "quad x;", "double x[n];", "double 1x;"):
        with pytest.raises(ValueError, match="state: "):
            lsio.state_ctypes(wrong)


@pytest.mark.parametrize("workers", [1, 4])
def test_sums_and_minima(floats, workers):
    path, values = floats
    with lsio.submit(lsio.files(path, chunk=4000), figures(), type="f4", state=FIGURES, reduce=REDUCE,
                     context=lsio.Context(workers=workers)) as job:  # fmt: skip
        state = job.result(60).state
    assert state == {"sum": pytest.approx(values.sum(dtype="f8")), "low": values.min(), "n": values.size}


def test_ranges_and_what_is_known_of_a_step(raw):
    path, _ = raw

    @ln.transform("uint64_t bytes, index, offset, tag, name; double wrong;")
    def f(step, state):
        state.bytes += step.bytes
        state.index += step.index
        state.offset += step.offset
        state.tag += np.uint64(step.tag)
        name = numba.carray(ln.pointer(step.name), step.name_length, np.uint8)
        kind = numba.carray(ln.pointer(step.type), 1, np.uint8)
        state.name += name[0]
        first, last = step.flags & ln.FIRST, step.flags & ln.LAST
        if not first or not last or ln.stopped(step) or step.item != 1 or kind[0] != ord("u"):
            state.wrong += 1
        return 0

    source = lsio.ranges(path, offset=[10, 1000, 5], length=[3, 4, 5], tag=[7, 8, 9])
    state = "uint64_t bytes, index, offset, tag, name; double wrong;"
    got = lsio.submit(source, f, state=state, reduce="sum").result(60).state
    assert got == {"bytes": 12, "index": 3, "offset": 1015, "tag": 24, "name": 3 * ord("/"), "wrong": 0}


def test_arrays_and_moments_in_a_state(floats):
    path, values = floats
    text = "double hist[10]; lsio_moments m;"

    @ln.transform(text)
    def f(step, state):
        x = ln.data(step, np.float32)
        hist, m = state.hist, state.m
        for v in x:
            hist[int(v * 10)] += 1
            m.n += 1
            d = v - m.mean
            m.mean += d / m.n
            m.m2 += d * (v - m.mean)
        return 0

    got = lsio.submit(lsio.files(path, chunk=4000), f, type="f4", state=text,
                      reduce={"hist": "sum", "m": "moments"}).result(60).state  # fmt: skip
    tenths = (values.astype("f8") * 10).astype(int)
    assert got["hist"].tolist() == np.bincount(tenths, minlength=10).tolist()
    assert got["m"]["n"] == values.size and got["m"]["mean"] == pytest.approx(values.mean(dtype="f8"))
    assert got["m"]["m2"] == pytest.approx(values.astype("f8").var() * values.size)


def test_through_numpys_description(floats):
    """Without lsio.numba: a step is what carray finds at an address."""
    path, values = floats
    layout, state_layout = np.dtype(lsio.step_ctypes), np.dtype(lsio.state_ctypes("int64_t n, bytes;"))

    @numba.cfunc(numba.types.int32(numba.types.voidptr, numba.types.voidptr))
    def f(step, state):
        c = numba.carray(step, 1, dtype=layout)[0]
        s = numba.carray(state, 1, dtype=state_layout)[0]
        s.n += c.n
        s.bytes += c.bytes
        return 0

    got = lsio.submit(lsio.files(path, chunk=4000), f, type="f4", state="int64_t n, bytes;", reduce="sum")
    assert got.result(60).state == {"n": values.size, "bytes": values.nbytes}


def test_results(floats):
    path, values = floats

    @ln.transform()
    def above(step):
        x = ln.data(step, np.float32)
        out = ln.out(step, np.float32)
        n = 0
        for v in x:
            if v > 0.5:
                out[n] = v
                n += 1
        return n

    job = lsio.submit(lsio.files(path, chunk=4000), above, type="f4", out_max=1000, order="request")
    got = np.concatenate([c.data for batch in job for c in batch])
    assert (got == values[values > 0.5]).all()

    @ln.transform()
    def doubled(step):
        x = ln.data(step, np.float32)
        out = ln.out(step, np.float32)
        out[:] = x * 2
        return 0

    out = np.empty(values.size, "f4")
    assert lsio.submit(lsio.files(path, chunk=4000), doubled, type="f4", out=out).result(60).output is out
    assert (out == values * 2).all()


@ln.transform("int64_t n;")
def picky(step, state):
    state.n += 1
    if step.index == 3:
        return ln.fail(step, "three is too much")
    if step.index == 5:
        return ln.fail(step, "damaged", ln.CORRUPT)
    return -5000 if step.index == 7 else 0


def test_errors(floats):
    path, _ = floats
    more = dict(type="f4", state="int64_t n;", reduce="sum")
    with pytest.raises(lsio.TransformError, match="three is too much") as e:
        lsio.submit(lsio.ranges([path] * 4), picky, **more).result(60)
    assert e.value.step == 3 and e.value.url == str(path)
    result = lsio.submit(lsio.ranges([path] * 10), picky, on_error="skip", **more).result(60)
    assert result.state == {"n": 7}  # what failed has left no trace
    assert [e.step for e in result.errors] == [3, 5, 7]
    kinds = [lsio.TransformError, lsio.CorruptError, lsio.TransformError]
    assert [type(e) for e in result.errors] == kinds and "damaged" in str(result.errors[1])


def test_an_exception_is_an_error(floats):
    path, _ = floats

    @ln.transform("int64_t n;")
    def f(step, state):
        state.n += 1
        if step.index == 1:
            raise ValueError
        return 0

    more = dict(state="int64_t n;", reduce="sum")
    with pytest.raises(lsio.TransformError, match="raised an exception"):
        lsio.submit(lsio.ranges([path] * 3), f, **more).result(60)
    result = lsio.submit(lsio.ranges([path] * 3), f, on_error="skip", **more).result(60)
    assert result.state == {"n": 2} and [e.step for e in result.errors] == [1]


def test_shards_are_merged(floats):
    path, values = floats
    f = figures()

    def submit(**more):
        return lsio.submit(lsio.files(path, chunk=4000), f, type="f4", state=FIGURES, reduce=REDUCE, **more)

    parts = [submit(shard=(i, 3)).result(60) for i in range(3)]
    assert all(0 < p.state["n"] < values.size for p in parts)
    whole = submit()
    merged, state = whole.merge(parts).state, whole.result(60).state
    assert merged == {**state, "sum": pytest.approx(state["sum"])}


def test_pickle(floats):
    path, values = floats
    f = pickle.loads(pickle.dumps(figures()))
    job = lsio.submit(lsio.files(path, chunk=4000), f, type="f4", state=FIGURES, reduce=REDUCE)
    assert job.result(60).state["n"] == values.size


@pytest.mark.parametrize("plain", [False, True])
def test_the_function_lives_as_long_as_the_job(floats, plain):
    path, values = floats

    class Held:  # numba's own can't be referred to weakly
        def __init__(self, f):
            self.f, self.address = f, f.address

    held = Held(figures().cfunc) if plain else figures()
    gone = weakref.ref(held)
    job = lsio.submit(lsio.ranges([str(path)] * 2000), held, type="f4", state=FIGURES, reduce=REDUCE)
    del held
    gc.collect()
    assert job.done() or gone() is not None
    assert job.result(120).state["n"] == 2000 * values.size
    del job
    until = time.monotonic() + 30
    while gone() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def test_a_long_step_is_stopped(floats):
    """And it holds no lock of Python's: this thread goes on."""

    @ln.transform()
    def forever(step):
        while not ln.stopped(step):
            pass
        return ln.TRANSFORM

    job = lsio.submit(lsio.ranges([str(floats[0])]), forever)
    until = time.monotonic() + 30
    while "transform" not in job.activity() and time.monotonic() < until:
        time.sleep(0.01)
    assert "transform" in job.activity() and not job.done()
    job.cancel()
    with pytest.raises(lsio.CancelledError):
        job.result(30)


def test_elements_of_another_size(floats):
    path, values = floats

    @ln.transform("int64_t n; uint64_t sum;")
    def f(step, state):
        x = ln.data(step, np.uint64)
        state.n += x.size
        for v in x:
            state.sum += v
        return 0

    for type in ("u1", "f4", "f8"):
        source, more = lsio.ranges(path, length=[24]), dict(state=f.state, reduce="sum")
        got = lsio.submit(source, f, type=type, **more).result(60).state
        assert got == {"n": 3, "sum": int(values.view("u8")[:3].sum())}, type


def test_pieces(floats):
    path, values = floats

    @ln.transform("int64_t first, last, n;")
    def f(step, state):
        state.first += (step.flags & ln.FIRST) != 0
        state.last += (step.flags & ln.LAST) != 0
        state.n += step.n
        return 0

    source = lsio.files(path, chunk=200_000)
    got = lsio.submit(source, f, type="f4", piece="16KiB", state=f.state, reduce="sum").result(60).state
    assert got == {"first": 2, "last": 2, "n": values.size}


def test_what_does_not_fit(floats):
    path, _ = floats
    with pytest.raises(TypeError, match="cfunc"):
        lsio.submit(lsio.files(path), lambda step, state: 0)
    with pytest.raises(ValueError, match=r"compiled for the state 'int64_t n;', not for 'double n;'"):
        lsio.submit(lsio.files(path), picky, state="double n;", reduce="sum")
    with pytest.raises(ValueError, match="not for None"):
        lsio.submit(lsio.files(path), picky)
