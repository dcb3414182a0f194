"""What shards end with, merged: as the job as a whole ends."""

import pickle

import numpy as np
import pytest

import lsio

WHOLE = """
local lsio = require "lsio"
return lsio.job {{
  source = lsio.files({path!r}, {{ chunk = 4000 }}), type = "f32", reduce = {reduce},
  state = function() return {{ n = 0 }} end,
  transform = function(chunk, state)
    state.n = state.n + chunk.n
    state.first = math.min(state.first or chunk.index, chunk.index)
    state.at = state.at or {{}}
    state.at[#state.at + 1] = chunk.index
    state.by = state.by or {{ even = 0 }}
    local key = chunk.index % 3 == 0 and "third" or "even"
    state.by[key] = (state.by[key] or 0) + 1
    state.text = (state.text or "") .. chunk.index .. ";"
    state.own = "private"
  end,
}}
"""
REDUCE = '{ n = "sum", first = "min", at = "concat", by = "sum", text = "concat", own = "none" }'
STRUCT = (
    """double sum, most; int64_t n; uint32_t bits, common; double hist[4]; float least[2]; lsio_moments m;"""
)
REDUCERS = dict(
    sum="sum", most="max", n="sum", bits="bor", common="band", hist="sum", least="min", m="moments"
)
FILL = """function(c, s)
  s.sum, s.n = s.sum + lsio.k.sum(c.data), s.n + c.n
  local low, high = lsio.k.minmax(c.data)
  s.most = math.max(s.most, high)
  s.bits = bit.bor(s.bits, bit.lshift(1, c.index % 20))
  s.common = bit.band(s.common, 256 + c.index)
  s.hist[c.index % 4] = s.hist[c.index % 4] + c.n
  s.least[c.index % 2] = math.min(s.least[c.index % 2], low)
  lsio.k.moments(c.data, c.n, s.m)
end"""


def shards(n, *args, **more):
    """Run a job in parts, and bring each from another process, as it were."""
    done = [lsio.submit(*args, shard=(i, n), **more).result(60) for i in range(n)]
    return [pickle.loads(pickle.dumps(r)) for r in done]


@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_whole_job(floats, n):
    text = WHOLE.format(path=str(floats[0]), reduce=REDUCE)
    whole = lsio.submit(lsio.Script(text)).result(60).state
    parts = shards(n, lsio.Script(text))
    state = lsio.Job.merge(parts).state
    assert sorted(state["at"]) == sorted(whole["at"]) == list(range(100))
    assert sorted(state.pop("text").split(b";")) == sorted(whole.pop("text").split(b";"))
    assert {**state, "at": 0} == {**whole, "at": 0} and "own" not in state
    assert state["by"] == {"third": 34, "even": 66}


@pytest.mark.parametrize("n", [1, 3, 40, 120])
def test_fields(floats, n):
    path, values = floats
    source = lsio.files(path, chunk=4000)
    job = dict(type="f4", state=STRUCT, reduce=REDUCERS)
    whole = lsio.submit(source, FILL, **job).result(60).state
    merged = lsio.Job.merge(shards(n, source, FILL, **job))
    state = merged.state
    assert list(state) == list(whole)
    for name in ("n", "most", "bits", "common"):
        assert state[name] == whole[name] and type(state[name]) is type(whole[name]), name
    assert state["n"] == values.size and state["bits"] == 2**20 - 1 and state["common"] == 256
    assert (state["hist"] == whole["hist"]).all() and state["hist"].dtype == whole["hist"].dtype
    assert (state["least"] == whole["least"]).all()
    assert state["sum"] == pytest.approx(whole["sum"])
    assert state["m"] == pytest.approx(whole["m"]) and state["m"]["n"] == values.size
    assert merged.stats["steps"] == 100 and merged.stats["bytes_read"] == values.nbytes
    assert merged.output is None and merged.errors == [] and str(merged).count("done: ") == n


def test_nan_wins(floats):
    once = "function(c, s) s.low = c.index == 1 and 0/0 or 1 end"
    parts = shards(3, lsio.files(floats[0], chunk=200_000), once, state="double low;", reduce="min")
    assert np.isnan(lsio.Job.merge(parts).state["low"])


def test_errors_of_all(floats, tmp_path):
    paths = [floats[0], tmp_path / "none", tmp_path / "nowhere"]
    parts = shards(3, lsio.files(paths, whole=True), "function(c, s) s.n = s.n + 1 end",
                   state="double n;", reduce="sum", on_error="skip")  # fmt: skip
    merged = lsio.Job.merge(parts)
    assert merged.state == {"n": 1} and sorted(e.url for e in merged.errors) == sorted(map(str, paths[1:]))


def test_what_can_not_be_merged(floats):
    text = WHOLE.format(path=str(floats[0]), reduce="function(a, b) a.n = a.n + b.n return a end")
    with pytest.raises(TypeError, match="function in Lua"):
        lsio.Job.merge(shards(2, lsio.Script(text)))
    assert lsio.Job.merge([]).state == {}
    source = lsio.files(floats[0], chunk=4000)
    assert lsio.Job.merge(shards(2, source, "function() end", stream=False)).state == {}
