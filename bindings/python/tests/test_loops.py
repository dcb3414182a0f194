"""Event loops: awaited reads and jobs, cancelled and timed out, in one loop or many."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import lsio
from lsio import _bridge, _range

SLOW = "function() local t = os.clock() + 0.05 while os.clock() < t do end end"
STATE = {"state": "double n;", "reduce": "sum"}
COUNT = "function(c, s) s.n = s.n + c.n end"


def test_reads(raw):
    path, values = raw

    async def run():
        assert (await lsio.get_range_async(path, start=5, length=9) == values[5:14]).all()
        assert (await lsio.get_range_async(path, start=-9) == values[-9:]).all()
        got = await lsio.get_ranges_async(path, starts=[1, 2], lengths=3)
        assert [x.tolist() for x in got] == [values[1:4].tolist(), values[2:5].tolist()]
        got = await lsio.cat_ranges_async([path, path], starts=[7, 8], ends=[9, 10], timeout=30)
        assert [x.tolist() for x in got] == [values[7:9].tolist(), values[8:10].tolist()]
        with pytest.raises(FileNotFoundError):
            await lsio.get_range_async("/nowhere/x", start=0)
        parts = await asyncio.gather(*[lsio.get_range_async(path, start=i, length=2) for i in range(2000)])
        assert all((p == values[i : i + 2]).all() for i, p in enumerate(parts))

    asyncio.run(run())
    asyncio.run(run(), debug=True)


def test_jobs(floats):
    path, values = floats

    async def run():
        result = await lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
        assert result.state == {"n": values.size}
        seen = 0
        async with lsio.submit(lsio.files(path, chunk=4000), type="f4") as job:
            async for batch in job:
                seen += sum((c.data == values[c.step * 1000 :][:1000]).all() for c in batch)
        assert seen == 100
        streamed = await lsio.submit(lsio.files(path, chunk=4000))  # whose batches nobody takes
        assert streamed.stats["steps"] == 100
        jobs = [lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE) for _ in range(50)]
        assert {r.state["n"] for r in await asyncio.gather(*jobs)} == {values.size}
        with pytest.raises(lsio.TransformError):
            await lsio.submit(lsio.files(path), "function() error('x') end", **STATE)
        with pytest.raises(lsio.TransformError):
            async for _ in lsio.submit(lsio.files(path), "function() error('x') end"):
                pass

    asyncio.run(run())


def test_cancelling(floats):
    path, _ = floats

    async def run():
        for stream in (False, True):
            more = {} if stream else STATE
            job = lsio.submit(lsio.files(path, chunk=400), SLOW, stream=stream, **more)
            task = asyncio.ensure_future(job._await())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(lsio.CancelledError):
                await job
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(lsio.submit(lsio.files(path, chunk=400), SLOW, **STATE)._await(), 0.1)
        async with lsio.submit(lsio.files(path, chunk=400), SLOW, **STATE) as job:
            pass
        with pytest.raises(lsio.CancelledError):
            await job
        reads = [asyncio.ensure_future(lsio.get_range_async(path, start=i, length=4)) for i in range(100)]
        await asyncio.sleep(0)
        for r in reads[::2]:
            r.cancel()
        done = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(x, np.ndarray) for x in done[1::2])

    asyncio.run(run())


def test_many_loops(floats):
    path, values = floats
    wrong = []

    async def run():
        for _ in range(3):
            x = await lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
            y = await lsio.get_range_async(path, start=0, length=4)
            if x.state["n"] != values.size or y.view("f4")[0] != values[0]:
                wrong.append(x)

    for _ in range(5):
        asyncio.run(run())
    threads = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_uvloop(floats):
    uvloop = pytest.importorskip("uvloop")
    path, values = floats

    async def run():
        parts = await asyncio.gather(*[lsio.get_range_async(path, start=4 * i, length=4) for i in range(500)])
        assert (np.concatenate(parts).view("f4") == values[:500]).all()
        return sum([len(b) async for b in lsio.submit(lsio.files(path, chunk=4000))])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 100


def test_loops_and_what_is_none(floats):
    path, values = floats
    outside = lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
    streamed = lsio.submit(lsio.files(path, chunk=4000))
    called = []

    async def run():
        assert (await outside).state["n"] == values.size
        assert sum([len(b) async for b in streamed]) == 100
        job = lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
        job.add_done_callback(lambda j: called.append(threading.get_ident()))
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(None, job.result)  # in another thread, while the loop goes on
        assert result.state["n"] == values.size and called == [threading.get_ident()]
        inside = lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
        assert inside.result().state["n"] == values.size  # the loop stands meanwhile
        lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)  # whose end nobody asks for
        gc.collect()

    asyncio.run(run())
    done = threading.Event()
    job = lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE)
    job.add_done_callback(lambda j: done.set())
    assert done.wait(30)


def left_by(context):
    """Jobs that have not gone, once those that have been cancelled had time to."""
    until = time.monotonic() + 30
    gc.collect()
    while (running := context.stats()["jobs_running"]) and time.monotonic() < until:
        time.sleep(0.001)
        gc.collect()
    return running


def test_closed_loops_leave_nothing(floats):
    path, _ = floats
    context = lsio.Context(workers=1)

    async def run():
        reads = [asyncio.ensure_future(lsio.get_range_async(path, start=0, length=4, context=context))
                 for _ in range(3)]  # fmt: skip
        await reads[0]  # and leave the others

    asyncio.run(run())
    assert left_by(context) == 0
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        asyncio.run(run())
    assert left_by(context) == 0 and len(context._bridges) == 0
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_closed_loops_that_have_not_heard(floats, monkeypatch):
    """Of the end of what was cancelled: they go, and so does it."""
    path, _ = floats
    context = lsio.Context(workers=1)
    monkeypatch.setattr(_bridge.Bridge, "pump", lambda self: None)
    monkeypatch.setattr(_range, "_now", lambda *_: None)

    async def run():
        read = asyncio.ensure_future(lsio.get_range_async(path, start=0, length=4, context=context))
        late = asyncio.ensure_future(
            lsio.get_range_async(path, start=0, length=4, timeout=0.01, context=context)
        )
        job = asyncio.ensure_future(lsio.submit(lsio.files(path), COUNT, context=context, **STATE)._await())
        await asyncio.sleep(0.02)
        read.cancel()
        job.cancel()
        done = await asyncio.gather(read, late, job, return_exceptions=True)
        assert [type(e) for e in done] == [asyncio.CancelledError, lsio.TimeoutError, asyncio.CancelledError]

    asyncio.run(run())
    assert left_by(context) == 0 and len(context._bridges) == 0


def test_coroutines_that_are_closed(floats, monkeypatch):
    """As those are that their loop has left behind: while the read goes on, too."""
    monkeypatch.setattr(_range, "_now", lambda *_: None)
    path, _ = floats
    context = lsio.Context(workers=1)

    async def run():
        job = lsio.submit(lsio.files(path, chunk=4000), SLOW, context=context, **STATE)
        out = np.empty(4, np.uint8)
        for _ in range(10):
            read = lsio.get_range_async(path, start=0, length=4, out=out, context=context)
            read.send(None)  # it has begun, and waits
            read.close()
        job.cancel()

    asyncio.run(run())
    assert left_by(context) == 0


def test_jobs_of_closed_loops(floats):
    """They can be waited for in any thread, by several at once."""
    path, values = floats
    jobs = []

    async def run():
        for _ in range(3):
            jobs.append(lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", **STATE))

    t = threading.Thread(target=lambda: asyncio.run(run()))
    t.start()
    t.join()
    found = []
    threads = [
        threading.Thread(target=lambda j=j: found.append(j.result(timeout=30).state["n"])) for j in jobs * 2
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [values.size] * 6

    async def again():
        return (await jobs[0]).state["n"]

    assert asyncio.run(again()) == values.size


FEW = """
import asyncio, resource, sys, lsio
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
async def run():
    parts = await asyncio.gather(*[lsio.get_range_async(sys.argv[1], start=i, length=1) for i in range(1000)])
    text = "function(c, s) s.n = s.n + c.n end"
    jobs = [lsio.submit(lsio.files(sys.argv[1], chunk=40000), text, state="double n;", reduce="sum")
            for _ in range(300)]
    results = await asyncio.gather(*jobs)
    print(len(parts), sum(r.state["n"] for r in results))
asyncio.run(run())
"""


def test_few_descriptors(floats):
    path, values = floats
    done = subprocess.run([sys.executable, "-c", FEW, str(path)], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"1000 {300.0 * values.nbytes}\n", done.stderr
