"""One job in parts on a cluster of processes; and that what jobs are made of can get there."""

import operator
import os
import pickle

import numpy as np
import pytest

import lsio

distributed = pytest.importorskip("distributed")
from lsio.dask import submit_shards  # noqa: E402

FIGURES = """function(c, s)
  local low = lsio.k.minmax(c.data)
  s.sum, s.n, s.low = s.sum + lsio.k.sum(c.data), s.n + c.n, math.min(s.low, low)
  for i = 0, c.n - 1, 10 do s.hist[math.floor(c.data[i] * 10)] = s.hist[math.floor(c.data[i] * 10)] + 1 end
end"""
REDUCE = {"sum": "sum", "n": "sum", "low": "min", "hist": "sum"}
JOB = dict(type="f4", state="double sum, low, hist[10]; int64_t n;", reduce=REDUCE)
TIMEOUT = 60
WHOLE = """local lsio = require "lsio"
return lsio.job {{ source = lsio.files("{}", {{ chunk = 4000 }}), type = "f32", state = "double n;",
  reduce = "sum", transform = function(c, s) s.n = s.n + c.n end }}"""


@pytest.fixture(scope="module")
def client():
    options = dict(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None)
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster, timeout=TIMEOUT) as client,
    ):
        yield client


@pytest.fixture
def paths(tmp_path):
    """Files of float32, of several sizes."""
    found = []
    for i in range(5):
        found.append(tmp_path / f"{i}.f32")
        np.random.default_rng(i).random(10_000 + 1234 * i, "f4").tofile(found[-1])
    return found


def same(state, other):
    assert {**state, "sum": 0, "hist": 0} == {**other, "sum": 0, "hist": 0}
    assert state["sum"] == pytest.approx(other["sum"]) and (state["hist"] == other["hist"]).all()


def run(shard, source, **job):
    return os.getpid(), lsio.submit(source, FIGURES, shard=shard, **job).result(TIMEOUT)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_results_of_shards_are_merged(client, paths, n):
    source = lsio.files(paths, chunk=4000)
    done = client.gather([client.submit(run, (i, n), source, **JOB, pure=False) for i in range(n)])
    parts = [part for _, part in done]
    assert os.getpid() not in [pid for pid, _ in done]
    whole = lsio.submit(source, FIGURES, **JOB)
    state = whole.result(TIMEOUT).state
    values = np.concatenate([np.fromfile(p, "f4") for p in paths])
    assert state["n"] == values.size and state["low"] == values.min()
    merged = lsio.Job.merge(parts)
    same(merged.state, state)
    assert merged.stats["steps"] == whole.stats()["steps"] and merged.errors == []
    assert sum(p.stats["steps"] for p in parts) == whole.stats()["steps"]
    assert all("done: " in str(p) and p.errors == [] for p in parts)


def test_submit_shards(client, paths):
    source = lsio.files(paths, chunk=4000)
    whole = lsio.submit(source, FIGURES, **JOB).result(TIMEOUT).state
    same(submit_shards(client, source, FIGURES, **JOB).result(TIMEOUT).state, whole)
    same(submit_shards(client, source, FIGURES, shards=5, **JOB).result(TIMEOUT).state, whole)
    few = lsio.files(paths[0], chunk=4000)  # fewer chunks than parts
    whole = lsio.submit(few, FIGURES, **JOB).result(TIMEOUT).state
    same(submit_shards(client, few, FIGURES, shards=25, **JOB).result(TIMEOUT).state, whole)
    starts = np.arange(50) * 400
    source = lsio.ranges(paths[0], offset=starts, length=400, tag=starts)
    whole = lsio.submit(source, FIGURES, **JOB).result(TIMEOUT).state
    job = dict(JOB, context=lsio.Context(workers=1))
    same(submit_shards(client, source, FIGURES, **job).result(TIMEOUT).state, whole)


def test_a_whole_job(client, paths):
    n = sum(os.path.getsize(p) for p in paths[:1]) // 4
    for source in (lsio.Script(WHOLE.format(paths[0])), WHOLE.format(paths[0])):
        assert submit_shards(client, source).result(TIMEOUT).state == {"n": n}


def test_a_compiled_transform(client, paths):
    pytest.importorskip("numba")
    import lsio.numba

    @lsio.numba.transform("double sum; int64_t n;")
    def f(step, state):
        x = lsio.numba.data(step, np.float32)
        state.sum += x.sum()
        state.n += x.size
        return 0

    job = dict(type="f4", state="double sum; int64_t n;", reduce="sum")
    got = submit_shards(client, lsio.files(paths), f, **job).result(TIMEOUT)
    values = np.concatenate([np.fromfile(p, "f4") for p in paths])
    assert got.state == {"sum": pytest.approx(values.sum(dtype="f8"), rel=1e-5), "n": values.size}


def test_errors(client, paths):
    with pytest.raises(FileNotFoundError) as e:
        submit_shards(client, lsio.files([*paths, "/none"]), FIGURES, **JOB).result(TIMEOUT)
    assert isinstance(e.value, lsio.NotFoundError) and e.value.url == "/none"


def test_pickling(paths):
    def there_and_back(x):
        return pickle.loads(pickle.dumps(x))

    source = lsio.files(paths, chunk="4KiB", missing="skip")
    assert there_and_back(source) == source
    ranges = lsio.ranges(paths, offset=[1, 2, 3, 4, 5], length=[8] * 5, tag=range(5))
    for name in ("objects", "object", "offset", "length", "tag", "group"):
        assert np.array_equal(*map(operator.attrgetter(name), (there_and_back(ranges), ranges)))
    script = there_and_back(lsio.Script(WHOLE.format(paths[0]), name="counts"))
    assert script.name == "counts" and lsio.submit(script).result(TIMEOUT).state["n"] == 10_000
    context = there_and_back(lsio.Context(workers=1, memory="64MiB"))
    job = lsio.submit(source, FIGURES, **JOB, context=context)
    result = job.result(TIMEOUT)
    same(there_and_back(result).state, result.state)
    assert there_and_back(result).stats == result.stats and str(there_and_back(result)) == str(result)
    out = lsio.submit(lsio.ranges(paths[:1]), stream=False).result(TIMEOUT)
    assert there_and_back(out).output.tobytes() == paths[0].read_bytes()
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(job)
