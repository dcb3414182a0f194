"""Forks, exits, signals, threads; and what many jobs leave."""

import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

import lsio

COUNT = "function(c, s) s.n = s.n + c.n end"


def python(text, *args, **more):
    return subprocess.Popen([sys.executable, "-c", text, *map(str, args)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **more)  # fmt: skip


def said(process, code=0, timeout=120):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == code, (process.returncode, out, err)
    return out


FORKS = """
import os, sys, lsio
path, own = sys.argv[1], lsio.Context(workers=1)
def n(**more):
    text = "function(c, s) s.n = s.n + c.n end"
    job = lsio.submit(lsio.files(path, chunk=4000), text, state="double n;", reduce="sum", **more)
    return job.result().state["n"]
assert n() == n(context=own) == 400000
slow = "function() local t = os.clock() + 0.01 while os.clock() < t do end end"
busy = lsio.submit(lsio.files(path, chunk=400), slow, state="double n;", reduce="sum")
for i in range(20):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert n() == 400000
            try:
                n(context=own)
            except lsio.ForkError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0, i
busy.cancel()
print(n())
"""


def test_forks(floats):
    assert said(python(FORKS, floats[0])) == "400000.0\n"


@pytest.mark.parametrize(
    "text",
    [
        "j = lsio.submit(lsio.files(p, chunk=40), 'function(c) return c.name end')",
        "j = lsio.submit(lsio.files(p, chunk=40), 'function(c) return c.name end'); next(iter(j))",
        "b = [b for b in lsio.submit(lsio.files(p, chunk=4000))]",
        "import numpy as np; o = np.empty(400000, 'u1'); j = lsio.submit(lsio.files(p, chunk=40), out=o)",
        "j = lsio.submit(lsio.files(p), 'function() while true do end end', state='double n;', reduce='sum')",
    ],
)
def test_exit_while_jobs_run(floats, text):
    said(python("import sys, lsio; p = sys.argv[1]; " + text, floats[0]), timeout=30)


def test_interrupt(floats):
    text = """import sys, lsio
print("ready", flush=True)
text = "function() local t = os.clock() + 0.05 while os.clock() < t do end end"
try:
    lsio.submit(lsio.files(sys.argv[1], chunk=40), text, state="double n;", reduce="sum").result()
except KeyboardInterrupt:
    print("interrupted")
"""
    p = python(text, floats[0], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert p.stdout.readline() == "ready\n"
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    assert said(p, timeout=30) == "interrupted\n"


def test_threads(floats):
    path, values = floats
    wrong = []

    def work():
        for i in range(30):
            x = lsio.submit(lsio.files(path, chunk=4000), COUNT, type="f4", state="double n;", reduce="sum")
            if x.result().state["n"] != values.size or lsio.get_range(path, start=i, length=8).size != 8:
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def used():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize(), len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_behind(floats):
    path, _ = floats

    def rounds(n):
        for i in range(n):
            lsio.get_range(path, start=i, length=100)
            lsio.submit(
                lsio.files(path, chunk=40000), COUNT, type="f4", state="double n;", reduce="sum"
            ).result()
            for batch in lsio.submit(lsio.files(path, chunk=40000)):
                assert len(list(batch)) == len(batch)

    rounds(300)
    memory, descriptors = used()
    rounds(1000)
    more, now = used()
    assert now <= descriptors + 1
    assert more - memory < 8 << 20
