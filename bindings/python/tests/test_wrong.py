"""What a user gets wrong, and what is said about it."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lsio

SUM = "function(c, s) s.n = s.n + 1 end"


def error_of(*args, **more):
    with pytest.raises(lsio.Error) as e:
        lsio.submit(*args, **more).result(60)
    return e.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(codec="gzp"), "unknown codec"),
        (dict(transform=SUM, state="duble n;", reduce="sum"), "duble"),
        (dict(transform=SUM, state="double n;", reduce="summ"), "did you mean"),
        (dict(piece="x"), "piece"),
    ],
)
def test_arguments_are_no_places_in_a_script(raw, arguments, words):
    e = error_of(lsio.files(raw[0]), **arguments)
    assert words in str(e) and not str(e).startswith("transform:")
    assert (e.script, e.line) == ("", 0)


def test_places_in_the_transform_stay(raw):
    e = error_of(lsio.files(raw[0]), "function(c)\n\n  error('no')\nend")
    assert (e.script, e.line) == ("transform", 3) and "no" in str(e)
    e = error_of(lsio.files(raw[0]), "function(c)\n  x = = 1\nend")
    assert (e.script, e.line) == ("transform", 2)


@pytest.mark.parametrize("text", ["", "local function f(c) end", "return 1", "return nil"])
def test_text_without_a_function(raw, text):
    e = error_of(lsio.files(raw[0]), text)
    assert "the transform is no function" in str(e)


@pytest.mark.parametrize(
    "text",
    [
        "-- says\n--[[ more\n]] function(c) return 'x' end",
        "  \n function (c) return 'x' end",
        "local function f(c) return 'x' end\nreturn f",
    ],
)
def test_text_with_one(raw, text):
    found = [chunk.data for batch in lsio.submit(lsio.files(raw[0]), text) for chunk in batch]
    assert found == [b"x"]


def test_a_state_wants_reducers(raw):
    with pytest.raises(TypeError, match="reduce"):
        lsio.submit(lsio.files(raw[0]), SUM, state="double n;")


def test_a_whole_job_says_the_rest_itself(raw, tmp_path):
    text = f"local lsio = require 'lsio'\nreturn lsio.job {{ source = lsio.files({str(raw[0])!r}) }}"
    for given in (
        dict(codec="gzip"),
        dict(type="f4"),
        dict(fill=1),
        dict(merge="never"),
        dict(on_error="skip"),
    ):
        with pytest.raises(TypeError, match=f"whole job says in Lua what its {next(iter(given))} is"):
            lsio.submit(text, **given)
    path = tmp_path / "job.lua"
    path.write_text(text)
    assert lsio.submit(str(path)).result(60).stats["bytes_read"] == len(raw[1])
    with pytest.raises(TypeError, match=r"lsio\.files"):
        lsio.submit(str(raw[0]))
    with pytest.raises(TypeError, match="None"):
        lsio.submit(lsio.files(raw[0]), type=None)


def test_out_of_objects(raw):
    out = np.zeros(32, object)
    for read in (lambda: lsio.get_range(raw[0], start=0, length=256, out=out),
                 lambda: lsio.get_range(raw[0], start=0, out=out),
                 lambda: lsio.get_ranges(raw[0], starts=[0], lengths=[256], out=out),
                 lambda: lsio.submit(lsio.ranges(raw[0], offset=[0], length=[256]), out=out)):  # fmt: skip
        with pytest.raises(TypeError, match="objects"):
            read()


def test_parts_that_are_not_all(floats):
    def part(i, n, **more):
        job = dict(state="double n;", reduce="sum") | more
        return lsio.submit(lsio.files(floats[0], chunk=4000), SUM, shard=(i, n), **job).result(60)

    parts = [part(i, 3) for i in range(3)]
    assert lsio.Job.merge(parts[::-1]).state == {"n": 100} and parts[1].shard == (1, 3)
    for wrong in (parts[:2], [parts[0]] * 3, [*parts, parts[0]], [*parts[:2], part(2, 4)]):
        with pytest.raises(ValueError, match="not all parts"):
            lsio.Job.merge(wrong)
    with pytest.raises(ValueError, match="reduce alike"):
        lsio.Job.merge([*parts[:2], part(2, 3, reduce="max")])


# ---- memory of the caller's


def untouched_after(buffer, f, seconds):
    """Have f fail, overwrite the buffer, and see whether anybody else does."""
    done = f(seconds)
    if done is not None:
        asyncio.run(done)
    buffer[:] = 77
    time.sleep(0.003)
    return (buffer == 77).all()


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(64 << 20))
    return path


def test_nothing_is_written_once_control_is_back(large):
    out = np.empty(64 << 20, np.uint8)

    def read(timeout):
        with pytest.raises(lsio.TimeoutError, match="large") as e:
            lsio.get_range(large, start=0, length=out.size, out=out, timeout=timeout)
        assert e.value.url == str(large)

    def read_many(timeout):
        with pytest.raises(lsio.TimeoutError):
            lsio.get_ranges(
                large, starts=range(0, out.size, 1 << 20), lengths=1 << 20, out=out, timeout=timeout
            )

    def leave(timeout):
        with lsio.submit(lsio.files(large), out=out):
            time.sleep(timeout)

    async def leave_async(timeout):
        async with lsio.submit(lsio.files(large), out=out):
            await asyncio.sleep(timeout)

    async def late(timeout):
        with pytest.raises(TimeoutError):
            await lsio.get_range_async(large, start=0, length=out.size, out=out, timeout=timeout)

    async def cancelled(timeout):
        async def wait():
            await lsio.submit(lsio.files(large), out=out)

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(timeout)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for seconds in [t / 10000 for t in range(40)]:
        for f in (leave, leave_async, cancelled):
            assert untouched_after(out, f, seconds), (f, seconds)
    for seconds in (0, 0.0001, 0.0005, 0.001):
        for f in (read, read_many, late):
            assert untouched_after(out, f, seconds), (f, seconds)


def test_a_coroutine_in_the_block_of_a_job_can_be_closed(large):
    async def run():
        async def inside():
            async with lsio.submit(lsio.files(large), out=np.empty(64 << 20, np.uint8)):
                await asyncio.sleep(60)

        coroutine = inside()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(run())


# ---- Ctrl-C while the interpreter ends

ENDLESS = """
import lsio, sys, time
job = lsio.submit(lsio.files({path!r}), "function(c, s) while true do s.n = s.n + 1 end end",
                  state="double n;", reduce="sum")
time.sleep(0.3)
print("leaves", flush=True)
"""


@pytest.mark.parametrize("interrupts", [0, 1, 2])
def test_a_step_that_does_not_return_holds_up_no_exit(raw, interrupts):
    p = subprocess.Popen([sys.executable, "-c", ENDLESS.format(path=str(raw[0]))], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert p.stdout.readline() == "leaves\n"
    for _ in range(interrupts):
        time.sleep(0.3)
        os.kill(p.pid, signal.SIGINT)
    p.communicate(timeout=30)
