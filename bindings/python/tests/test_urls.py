"""Objects by http:// URLs: the same calls. The server is the one of the runner's tests."""

import asyncio
import os
import sys

import numpy as np
import pytest

import lsio

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "cli"))
servers = pytest.importorskip("servers")


@pytest.fixture
def server(raw):
    _, values = raw
    with servers.Told({"/a": values.tobytes()}) as told:
        yield told.url + "/a", values


def test_reads(server):
    url, values = server
    assert np.array_equal(lsio.get_range(url, start=5, length=1000), values[5:1005])
    assert np.array_equal(lsio.get_range(url, start=len(values) - 7), values[-7:])
    assert np.array_equal(asyncio.run(lsio.get_range_async(url, start=0, length=10)), values[:10])
    got = lsio.get_ranges(url, starts=[7, 200_000, 0], lengths=3000)
    for part, start in zip(got, [7, 200_000, 0], strict=True):
        assert np.array_equal(part, values[start : start + 3000])


def test_jobs(server):
    url, values = server
    count = "function(chunk, s) s.n = s.n + lsio.k.sum(chunk.data) end"
    job = lsio.submit(lsio.files(url, chunk=10_000), count, state="double n;", reduce="sum")
    assert job.result().state["n"] == values.sum(dtype="f8")
    out = np.empty(len(values), np.uint8)
    lsio.submit(lsio.files(url, chunk=30_000), out=out).result()
    assert np.array_equal(out, values)


def test_errors(server):
    url, _ = server
    with pytest.raises(lsio.NotFoundError) as e:
        lsio.get_range(url + "none?token=s3cret", start=0, length=1)
    assert isinstance(e.value, FileNotFoundError) and "s3cret" not in str(e.value) + str(e.value.url)
    with pytest.raises(lsio.Error, match=r"\[ without \]"):
        lsio.get_range("http://[bad/x", start=0, length=1)
    with pytest.raises(lsio.Error):
        lsio.get_range(url, start=0, length=10**9)
