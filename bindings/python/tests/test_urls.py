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


def test_one_range_is_one_request(raw):
    """Nobody asks for an object's size where its range is known."""
    _, values = raw
    with servers.Told({"/a": values.tobytes()}) as told:
        got = lsio.get_range(told.url + "/a", start=100, length=200_000)
        assert np.array_equal(got, values[100:200_100])
        assert told.requests == [("GET", "/a", "bytes=100-200099")]
        urls = [f"{told.url}/a?{i}" for i in range(4)]
        told.objects |= {url.removeprefix(told.url): values.tobytes() for url in urls}
        many = lsio.cat_ranges(urls, starts=[0, 5, 10, 15], lengths=1000)
        assert all(
            np.array_equal(part, values[s : s + 1000]) for part, s in zip(many, [0, 5, 10, 15], strict=True)
        )
        assert "HEAD" not in {method for method, *_ in told.requests}
        with pytest.raises(lsio.Error, match=f"beyond the end of its object, at byte {len(values)}"):
            lsio.get_range(told.url + "/a", start=len(values) - 5, length=10)
        with pytest.raises(lsio.Error, match="beyond the end"):
            lsio.get_range(told.url + "/a", start=len(values) + 5, length=10)
        got = lsio.cat_ranges([*urls[:2], told.url + "/none"], starts=[0, 0, 0], lengths=10, on_error="skip")
        assert [type(e) for e in got.errors] == [lsio.NotFoundError]
        assert got[2].tolist() == [0] * 10 and np.array_equal(got[1], values[:10])


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
