"""Many results in many hands, forks under load, awaits cancelled anywhere: nothing hangs, leaks or gets lost.

`scripts/test --all` runs them as long as they are meant to be (LSIO_STRESS=1); else a tenth.
"""

import asyncio
import gc
import os
import queue
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import lsio

SCALE = 10 if os.environ.get("LSIO_STRESS") else 1


@pytest.fixture
def numbers(tmp_path):
    """A file of int64 0, 1, 2, ..."""
    path = tmp_path / "numbers.i64"
    np.arange(200_000 * SCALE, dtype="i8").tofile(path)
    return path


def settled(context):
    """Assert that no job goes on and no result is held."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        gc.collect()
        stats = context.stats()
        if stats["jobs_running"] == stats["memory_held"] == stats["memory_reserved"] == 0:
            return
        time.sleep(0.01)
    raise AssertionError(stats)


def release_some(todo, sums, seed):
    rng = random.Random(seed)
    kept, total = [], 0
    while (batch := todo.get()) is not None:
        how = rng.randrange(3)
        if how == 0:
            total += sum(int(chunk.data.sum()) for chunk in batch)
            batch.release()
        elif how == 1:
            kept += [chunk.data for chunk in batch]  # views that outlive their batch
        else:
            kept += [chunk.data for chunk in batch.copy()]
        rng.shuffle(kept)
        while len(kept) > 2000:
            total += int(kept.pop().view("i8").sum())
    sums.append(total + sum(int(x.view("i8").sum()) for x in kept))


def test_results_in_many_hands(numbers):
    """100,000 results of 16 bytes (a million), released in any order by four threads."""
    context = lsio.Context(workers=2, memory="64MiB")
    todo, sums = queue.Queue(16), []
    threads = [threading.Thread(target=release_some, args=(todo, sums, i)) for i in range(4)]
    for t in threads:
        t.start()
    n = 0
    for batch in lsio.submit(lsio.files(numbers, chunk=16), type="i64", context=context):
        n += len(batch)
        todo.put(batch)
        del batch
    for _ in threads:
        todo.put(None)
    for t in threads:
        t.join()
    count = 200_000 * SCALE
    assert n == count // 2 and sum(sums) == count * (count - 1) // 2
    settled(context)


FORKS = """
import os, sys, threading, time, lsio
path, times = sys.argv[1], int(sys.argv[2])
text, state = "function(c, s) s.n = s.n + c.n end", {"state": "double n;", "reduce": "sum", "type": "i64"}
done, wrong = threading.Event(), []
def n():
    return lsio.submit(lsio.files(path, chunk=4096), text, **state).result().state["n"]
want = n()
def load():
    while not done.is_set():
        if n() != want or sum(len(b) for b in lsio.submit(lsio.files(path, chunk=4096))) == 0:
            wrong.append(1)
threads = [threading.Thread(target=load) for _ in range(2)]
for t in threads: t.start()
for i in range(times):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = int(n() != want)
        finally:
            os._exit(code)
    until = time.monotonic() + 60
    while (waited := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.kill(pid, 9)
            os._exit(3)
        time.sleep(0.001)
    assert waited[1] == 0, (i, waited)
done.set()
for t in threads: t.join()
print(len(wrong))
"""


def test_forks_under_load(numbers):
    """20 forks (200) while two threads have jobs: the child's own end well."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(numbers), str(20 * SCALE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "0\n", done.stderr


async def some_wait(kind, path, rng, context):
    """Await one of all there is to be awaited, and look at what came."""
    at = rng.randrange(100_000)
    if kind == 0:
        got = await lsio.get_range_async(path, start=8 * at, length=8, context=context)
        assert got.view("i8")[0] == at
    elif kind == 1:
        starts = [8 * at, 0, 8 * at + 800]
        got = await lsio.get_ranges_async(path, starts=starts, lengths=8, dtype="i8", context=context)
        assert got.data.tolist() == [at, 0, at + 100]
    elif kind == 2:
        source, text = lsio.ranges(path, offset=[8 * at], length=800), "function(c, s) s.n = s.n + c.n end"
        job = lsio.submit(source, text, type="i64", state="double n;", reduce="sum", context=context)
        assert (await job).state["n"] == 100
    elif kind == 3:
        total = 0
        source = lsio.ranges(path, offset=np.arange(50) * 8 + 8 * at, length=8)
        async with lsio.submit(source, type="i64", context=context) as job:
            async for batch in job:
                total += sum(int(chunk.data[0]) for chunk in batch)
        assert total == 50 * at + 1225
    else:
        await lsio.get_range_async(path, start=8 * at, length=8, timeout=rng.random() / 500, context=context)


async def cancelled(i, path, context, figures):
    rng = random.Random(i)
    kind = rng.randrange(5)
    task = asyncio.ensure_future(some_wait(kind, path, rng, context))
    if rng.randrange(4):
        await asyncio.sleep(rng.choice([0, 0, 1e-4, 3e-4, 1e-3]))
        task.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(task), 60)
        figures["ended"] += 1
    except asyncio.CancelledError:
        figures["cancelled"] += 1
    except lsio.TimeoutError:
        figures["late"] += 1
        assert kind == 4


def test_awaits_cancelled_anywhere(numbers):
    """1,000 awaits (10,000), 50 at once, most cancelled at some point: the others end as they should."""
    context = lsio.Context(workers=2, memory="64MiB")
    figures = {"ended": 0, "cancelled": 0, "late": 0}
    n = 1000 * SCALE

    async def some(k):
        for i in range(k, n, 50):
            await cancelled(i, numbers, context, figures)

    async def run():
        await asyncio.gather(*[some(k) for k in range(50)])

    asyncio.run(run())
    assert sum(figures.values()) == n and figures["ended"] > n / 10 and figures["cancelled"] > n / 10, figures
    settled(context)
