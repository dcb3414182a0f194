"""Ranges and jobs against numpy: what a user does first."""

import gc
import gzip
import os
import pickle
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lsio
from lsio import _core

SUM = "function(c, s) s.sum, s.n = s.sum + lsio.k.sum(c.data, c.n), s.n + c.n end"


# ---- ranges


def test_one_range(raw):
    path, values = raw
    assert (lsio.get_range(path, start=7, length=100) == values[7:107]).all()
    assert (lsio.get_range(path, start=7, end=107) == values[7:107]).all()
    assert (lsio.get_range(path, start=300_000) == values[300_000:]).all()
    assert (lsio.get_range(path, start=-5) == values[-5:]).all()
    assert lsio.get_range(path, start=5, length=0).size == 0
    got = lsio.get_range(path, start=0, length=10)
    got[0] = 1  # writable, and its own
    out = np.empty(100, np.uint8)
    assert lsio.get_range(path, start=50, length=100, out=out) is out
    assert (out == values[50:150]).all()


def test_one_range_that_cannot_be_had(raw, tmp_path):
    path, _ = raw
    with pytest.raises(FileNotFoundError) as e:
        lsio.get_range(tmp_path / "none", start=0)
    assert (
        isinstance(e.value, lsio.NotFoundError)
        and e.value.url == str(tmp_path / "none")
        and e.value.os_code == 2
    )
    with pytest.raises(lsio.Error, match="300001"):
        lsio.get_range(path, start=300_000, length=2)
    with pytest.raises(ValueError, match="ends before"):
        lsio.get_range(path, start=5, end=4)
    with pytest.raises(TypeError, match="either"):
        lsio.get_range(path, start=0, end=1, length=1)
    with pytest.raises(ValueError, match="9 bytes"):
        lsio.get_range(path, start=0, length=10, out=np.empty(9, np.uint8))
    with pytest.raises((BufferError, ValueError)):
        lsio.get_range(path, start=0, length=10, out=np.frombuffer(b"0123456789", np.uint8))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 5000)), max_size=60), st.booleans())
def test_many_ranges(raw, asked, own):
    path, values = raw
    starts = [s for s, _ in asked]
    lengths = [min(n, values.size - s) for s, n in asked]
    out = np.empty(sum(lengths), np.uint8) if own else None
    got = lsio.get_ranges(path, starts=starts, lengths=lengths, out=out)
    assert len(got) == len(asked)
    for part, s, n in zip(got, starts, lengths, strict=True):
        assert (part == values[s : s + n]).all() and part.size == n
    if own and out.size:
        assert np.shares_memory(got.data, out)


def test_ranges_of_many_objects(tmp_path):
    paths, all_values = [], []
    for i in range(5):
        values = np.arange(i * 1000, i * 1000 + 500, dtype="<i8")
        values.tofile(tmp_path / str(i))
        paths.append(tmp_path / str(i))
        all_values.append(values)
    got = lsio.cat_ranges(paths, starts=[8 * i for i in range(5)], lengths=16, dtype="i8")
    assert [list(x) for x in got] == [[i * 1001, i * 1001 + 1] for i in range(5)]
    got = lsio.cat_ranges(paths, objects=[4, 0, 4], starts=[0, 8, 16], ends=[8, 16, 24], dtype="i8")
    assert [int(x[0]) for x in got] == [4000, 1, 4002]
    assert [int(x[0]) for x in got[1:]] == [1, 4002] and int(got[-1][0]) == 4002
    with pytest.raises(ValueError, match="5 URLs"):
        lsio.cat_ranges(paths, starts=[0, 1], lengths=1)


def test_ranges_that_are_left_out(raw, tmp_path):
    path, values = raw
    got = lsio.cat_ranges([path, tmp_path / "none"], starts=[3, 0], lengths=[4, 4], on_error="skip")
    assert (got[0] == values[3:7]).all() and not got[1].any()
    assert len(got.errors) == 1 and isinstance(got.errors[0], FileNotFoundError) and got.errors[0].step == 1


def odd(buffer):
    """Copy it to where no element may lie."""
    values = np.frombuffer(buffer, np.uint8)
    out = np.empty(values.size + 1, np.uint8)[1:]
    out[:] = values
    return out


def test_ranges_that_lie_anywhere(floats):
    """As they come out of a message from another process."""
    path, values = floats
    starts = np.arange(100) * 4
    buffers = []
    source = lsio.ranges(path, offset=starts, length=4, tag=starts, group=starts // 100)
    text = pickle.dumps(source, protocol=5, buffer_callback=buffers.append)
    source = pickle.loads(text, buffers=[odd(b.raw()) for b in buffers])
    assert not source.offset.flags.aligned
    assert (lsio.submit(source, type="f4", stream=False).result().output == values[:100]).all()
    at = odd(starts).view("i8")
    assert (lsio.get_ranges(path, starts=at, lengths=odd(starts * 0 + 4).view("i8")).data.view("f4")
            == values[:100]).all()  # fmt: skip
    with pytest.raises(lsio.Error, match="`offset` is not aligned"):
        _core.Request([os.fsencode(path)], None, at, None, None, None)


# ---- jobs


def test_state_and_reduce(floats):
    path, values = floats
    result = lsio.submit(lsio.files(path, chunk=4000), SUM, type="f4", state="double sum; int64_t n;",
                         reduce="sum").result()  # fmt: skip
    assert result.state == {"sum": pytest.approx(values.sum(dtype="f8")), "n": values.size}
    assert isinstance(result.state["n"], int) and result.stats["steps"] == 100 and result.errors == []
    assert "done: 100 steps" in str(result)


def test_arrays_go_in_and_come_out(floats):
    path, values = floats
    edges = np.linspace(0, 1, 11)
    job = lsio.submit(
        lsio.files(path, chunk=4000),
        """function(c, s, p)
          for i = 0, c.n - 1 do
            local k = math.floor(c.data[i] * 10)
            assert(p.edges[k] <= c.data[i] + 1e-6 and p.name == "x" and p.flag and p.more.a[2] == 5)
            s.hist[k] = s.hist[k] + 1
          end
        end""",
        type="f4",
        state="double hist[10];",
        reduce="sum",
        params={"edges": edges, "name": "x", "flag": True, "more": {"a": [4, 5]}},
    )
    assert (job.result().state["hist"] == np.histogram(values, edges)[0]).all()


def test_batches(floats):
    path, values = floats
    seen = np.zeros(values.size, bool)
    kept = []
    at = np.arange(100)
    for batch in lsio.submit(lsio.ranges(path, offset=at * 4000, length=4000, tag=at * 2), type="f4"):
        assert len(batch) == len(batch.steps) == len(batch.ends)
        assert (batch.tags == 2 * batch.steps).all()
        for chunk in batch:
            at = chunk.step * 1000
            assert (chunk.data == values[at : at + 1000]).all() and chunk.data.dtype == np.float32
            seen[at : at + 1000] = True
        batch.data[0] = 7  # writable
        kept.append((batch.copy(), batch.data.tobytes()))
        batch.release()
        with pytest.raises(ValueError, match="released"):
            batch.data.sum()
    assert seen.all()
    gc.collect()
    for copy, data in kept:
        assert copy.data.tobytes() == data and next(iter(copy)).data.size == 1000


def test_arrays_outlive_all(floats):
    path, values = floats
    context = lsio.Context(workers=2, memory="64MiB")
    parts = {}
    for batch in lsio.submit(lsio.files(path, chunk=4000), type="f4", context=context):
        parts.update({c.step: c.data for c in batch})
    del batch, context
    gc.collect()
    assert (np.concatenate([parts[i] for i in range(100)]) == values).all()


def test_records_come_in_order(floats):
    path, _ = floats
    job = lsio.submit(lsio.files(path, chunk=400), "function(c) return 'x' .. c.index end", order="request")
    assert [c.data for b in job for c in b] == [b"x%d" % i for i in range(1000)]


def test_results_in_an_array(floats):
    path, values = floats
    out = np.empty(values.size, "f8")
    text = "function(c) for i = 0, c.n - 1 do c.out[i] = c.data[i] * 2 end end"
    result = lsio.submit(lsio.files(path, chunk=4000), text, type="f4", out=out).result()
    assert result.output is out and (out == values.astype("f8") * 2).all()
    made = (
        lsio.submit(lsio.files(path, chunk=4000), text, type="f4", out_type="f8", stream=False)
        .result()
        .output
    )
    assert (made == out).all()


@pytest.mark.parametrize(
    "codec, pack", [("gzip", gzip.compress), ("zlib", zlib.compress), ("auto", gzip.compress)]
)
def test_codecs(tmp_path, codec, pack):
    values = np.arange(50_000, dtype="f4")
    for i in range(4):
        (tmp_path / f"{i}.z").write_bytes(pack(values.tobytes()))
    state = lsio.submit(lsio.files(tmp_path / "*.z"), SUM, type="f4", codec=codec, state="double sum, n;",
                        reduce="sum").result().state  # fmt: skip
    assert state == {"sum": 4 * values.sum(dtype="f8"), "n": 200_000}


def test_steps_that_fail(floats, tmp_path):
    path, values = floats
    text = """function(c)
  if c.index == 3 then
    error('three')
  end
  for i = 0, c.n - 1 do c.out[i] = 1 end
end"""
    with pytest.raises(lsio.TransformError, match="three") as e:
        lsio.submit(lsio.files(path, chunk=4000), text, type="f4", out=np.empty(values.size, "f4")).result()
    assert e.value.line == 3 and e.value.step == 3 and e.value.url == str(path)
    script = tmp_path / "bad.lua"
    script.write_text(text)
    with pytest.raises(lsio.TransformError) as e:
        lsio.submit(lsio.files(path, chunk=4000), script, type="f4", out=np.empty(values.size, "f4")).result()
    assert e.value.script == str(script)
    out = np.empty(values.size, "f4")
    result = lsio.submit(
        lsio.files(path, chunk=4000), text, type="f4", out=out, on_error="skip", fill=-1
    ).result()
    assert len(result.errors) == 1 and result.errors[0].step == 3
    assert (out[3000:4000] == -1).all() and out.sum() == values.size - 2000


def test_whole_jobs(floats, tmp_path):
    path, values = floats
    text = """local lsio = require "lsio"
      return lsio.job { source = function(p) return lsio.files(p) end, type = "f4" == "f4" and "f32",
        params = { above = 0.5 }, state = "double n;", reduce = "sum",
        transform = function(c, s, p) s.n = s.n + lsio.k.count_gt(c.data, c.n, p.above) end }"""
    want = {"n": int((values > 0.5).sum())}
    assert lsio.submit(text, args=[str(path)]).result().state == want
    file = tmp_path / "job.lua"
    file.write_text(text)
    assert lsio.submit(file, args=[str(path), "--above=0.5"]).result().state == want
    script = lsio.Script(text)
    script.check()
    for above in (0.5, 0.25):
        state = lsio.submit(script, args=[str(path)], params={"above": above}).result().state
        assert state == {"n": int((values > np.float32(above)).sum())}
    with pytest.raises(lsio.Error, match="expected"):
        lsio.Script("return {").check()
    with pytest.raises(TypeError, match="whole job"):
        lsio.submit(text, "function() end")


def test_shards_add_up(floats):
    path, values = floats
    parts = []
    for i in range(3):
        job = lsio.submit(lsio.files(path, chunk=4000), SUM, type="f4", state="double sum, n;", reduce="sum",
                          shard=(i, 3))  # fmt: skip
        parts.append(job.result())
    merged = job.merge(parts).state
    assert merged["n"] == values.size and merged["sum"] == pytest.approx(values.sum(dtype="f8"))


def test_limits_and_deadlines(floats):
    path, _ = floats
    assert lsio.submit(lsio.files(path, chunk=4000), SUM, type="f4", state="double sum, n;", reduce="sum",
                       limit=7).result().state["n"] == 7000  # fmt: skip
    slow = "function() local t = os.clock() + 0.05 while os.clock() < t do end end"
    job = lsio.submit(lsio.files(path, chunk=4000), slow, state="double n;", reduce="sum", deadline=0.2)
    with pytest.raises(TimeoutError) as e:
        job.result()
    assert isinstance(e.value, lsio.TimeoutError) and e.value.retryable
    job = lsio.submit(lsio.files(path, chunk=4000), slow, state="double n;", reduce="sum")
    with pytest.raises(lsio.TimeoutError, match="goes on"):
        job.result(timeout=0.05)
    assert not job.done() and "worker" in job.activity()
    job.cancel()
    with pytest.raises(lsio.CancelledError):
        job.result()


@pytest.mark.parametrize("change", ["chdir", "rename"])
def test_a_folder_that_is_another_by_now(tmp_path, monkeypatch, change):
    """Threads keep what they learn, but no folder from job to job."""
    for d in "ab":
        (tmp_path / d / "data").mkdir(parents=True)
        for i in range(3):
            np.full(1000, ord(d), np.uint8).tofile(tmp_path / d / "data" / f"{i}.bin")
    monkeypatch.chdir(tmp_path / "a")
    context = lsio.Context(workers=1)

    def seen():
        job = lsio.submit(lsio.files("data/*.bin"), order="request", context=context)
        return {int(x) for batch in job for chunk in batch for x in np.unique(chunk.data)}

    for k in range(6):
        assert seen() == {ord("ab"[k % 2])}
        if change == "chdir":
            os.chdir(tmp_path / "ba"[k % 2])
        else:
            (tmp_path / "a" / "data").rename(tmp_path / "x")
            (tmp_path / "b" / "data").rename(tmp_path / "a" / "data")
            (tmp_path / "x").rename(tmp_path / "b" / "data")


def test_print_and_log(floats, capsys):
    path, _ = floats
    text = "function(c) print('seen', c.n) lsio.log('well') end"
    lsio.submit(lsio.files(path, whole=True), text, state="double n;", reduce="sum", type="f4").result()
    said = capsys.readouterr()
    assert said.out == "seen\t100000\n" and said.err == "well\n"
    heard = []
    context = lsio.Context(log=lambda job, level, text: heard.append((level, text)))
    lsio.submit(lsio.files(path, whole=True), "function(c) print('x') end", state="double n;", reduce="sum",
                context=context).result()  # fmt: skip
    assert heard == [(10, b"x")]


def test_pickles(floats):
    path, _ = floats
    for o in (lsio.files(path, chunk=400), lsio.ranges(path, offset=[0, 4], length=4)):
        again = pickle.loads(pickle.dumps(o))
        assert sum(len(b) for b in lsio.submit(again)) == sum(len(b) for b in lsio.submit(o))
    assert pickle.loads(pickle.dumps(lsio.Context(workers=1))).stats()["jobs"] == 0
    assert pickle.loads(pickle.dumps(lsio.Script("return 1", name="n"))).name == "n"
    try:
        lsio.get_range("/nowhere/x", start=0)
    except lsio.NotFoundError as e:
        again = pickle.loads(pickle.dumps(e))
        assert type(again) is type(e) and str(again) == str(e) and again.url == "/nowhere/x"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(lsio.submit(lsio.files(path)))


# ---- values

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary(max_size=50)
)
nested = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=5) | st.dictionaries(st.text(max_size=9), x, max_size=5),
    max_leaves=30,
)


def same(a, b):
    if isinstance(a, float):
        return isinstance(b, float) and np.float64(a).tobytes() == np.float64(b).tobytes()
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@settings(max_examples=300, deadline=None)
@given(nested)
def test_values_go_and_come_back(v):
    assert same(v, _core.round_trip(v))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from("i1 u1 i2 u2 i4 u4 i8 u8 f4 f8".split()),
    st.lists(st.integers(0, 4), max_size=5),
    st.integers(),
)
def test_arrays_are_not_copied(dtype, shape, seed):
    a = np.random.default_rng(abs(seed)).integers(0, 100, shape).astype(dtype)
    back = np.asarray(_core.round_trip(a))
    assert back.dtype == a.dtype and back.shape == a.shape and back.tobytes() == a.tobytes()
    if a.size:
        assert back.__array_interface__["data"][0] == a.__array_interface__["data"][0]


def test_values_that_there_are_not():
    deep = []
    for _ in range(70):
        deep = [deep]
    for v, error in (
        (2**64, OverflowError),
        (-(2**63) - 1, OverflowError),
        (object(), TypeError),
        (deep, ValueError),
        (np.array(["a"]), TypeError),
        ({(1, 2): 3}, (TypeError, ValueError)),
    ):
        with pytest.raises(error):
            _core.round_trip(v)
