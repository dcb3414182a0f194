"""Reads that need no waiting, of files in the page cache that have been left alone for a while."""

import asyncio
import time

import numpy as np
import pytest

import lsio


@pytest.fixture
def rested(raw):
    """A file, what it holds, and a context in which reads of it make no job."""
    path, values = raw
    context = lsio.Context(workers=1)
    until = time.monotonic() + 15
    while True:
        before = context.stats()["jobs"]
        lsio.get_range(path, start=0, length=10, context=context)
        if context.stats()["jobs"] == before:
            return path, values, context
        if time.monotonic() > until:
            pytest.skip("files here are never read without a job")
        time.sleep(0.05)


def test_they_are_the_same(rested):
    path, values, context = rested
    before = context.stats()["jobs"]

    def read(**how):
        got = lsio.get_range(path, context=context, **how)
        assert got.flags.writeable and got.dtype == (how["out"].dtype if "out" in how else np.uint8)
        return got

    assert np.array_equal(read(start=100, end=4196), values[100:4196])
    assert np.array_equal(read(start=-50, length=20), values[-50:-30])
    tail = read(start=len(values) - 70)
    assert np.array_equal(tail, values[-70:]) and tail.base is None
    out = np.empty(10, "f4")
    assert read(start=8, length=40, out=out) is out
    assert out.tobytes() == values[8:48].tobytes()
    out = np.empty(70, np.uint8)
    assert np.array_equal(read(start=len(values) - 70, out=out), values[-70:])
    assert np.array_equal(
        asyncio.run(lsio.get_range_async(path, start=5, end=8, context=context)), values[5:8]
    )
    # Where others rename or mount just then, a path is not followed, and a job reads.
    assert context.stats()["jobs"] - before <= 3


def test_what_is_wrong_is_said(rested):
    path, values, context = rested
    for how in [
        {"start": len(values) - 5, "length": 10},
        {"start": len(values) + 1, "length": 0},
        {"start": -len(values) - 1, "length": 1},
        {"start": len(values) - 70, "out": np.empty(71, np.uint8)},
    ]:
        with pytest.raises(lsio.Error):
            lsio.get_range(path, context=context, **how)
    fixed = np.empty(4, np.uint8)
    fixed.flags.writeable = False
    for out in [fixed, np.empty(8, np.uint8)[::2], np.empty(5, np.uint8)]:
        with pytest.raises((ValueError, lsio.Error)):
            lsio.get_range(path, start=0, length=4, out=out, context=context)


def test_other_tasks_have_turns(rested):
    path, _, context = rested
    alone = most = 0
    done = False

    async def reads():
        nonlocal alone, done
        for _ in range(1000):
            alone += 1
            await lsio.get_range_async(path, start=0, length=10, context=context)
        done = True

    async def other():
        nonlocal alone, most
        while not done:
            most, alone = max(most, alone), 0
            await asyncio.sleep(0)

    async def both():
        await asyncio.gather(reads(), other())

    asyncio.run(both())
    assert 0 < most <= 64


def test_variables_leave_reads_alone(raw, monkeypatch):
    path, values = raw
    monkeypatch.setenv("LSIO_LIMIT", "1")
    monkeypatch.setenv("LSIO_STEP", "0")
    got = lsio.get_ranges(path, starts=[0, 10, 20], lengths=5)
    assert np.array_equal(got.data, np.concatenate([values[0:5], values[10:15], values[20:25]]))
    assert np.array_equal(lsio.get_range(path, start=0, length=100_000), values[:100_000])
    job = lsio.submit(
        lsio.files(path, chunk=1000), "function(chunk, s) s.n = s.n + 1 end", state="double n;", reduce="sum"
    )
    assert job.result().state["n"] == 1
