"""Every example, as a user runs it."""

import http.client
import os
import re
import subprocess
import sys
import threading

import numpy as np

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples")


def run(name, *args):
    command = [sys.executable, os.path.join(EXAMPLES, name), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_range_statistics(floats):
    path, values = floats
    n = 2000
    starts = np.random.default_rng(1).integers(0, values.nbytes // 4096, n) * 1024
    seen = np.concatenate([values[s : s + 1024] for s in starts]).astype("f8")
    found = re.findall(r"\d[\d.]*(?:e[+-]\d+)?", run("range_statistics.py", path, n))
    want = [seen.size, seen.mean(), seen.std(), seen.min(), seen.max()]
    assert np.allclose([float(x) for x in found], want, atol=1e-5)


def test_training_batches(floats):
    path, values = floats
    out = run("training_batches.py", 100, path)
    assert out == f"1000 rows, mean {((values.astype('f8') - 0.5) / 0.29).mean():.4f}\n"


def test_thumbnail_of_what_no_memory_holds(tmp_path):
    path = tmp_path / "raw"
    height, width, size = 163_840, 131_072, 32  # 20 GiB, of which nearly all is a hole
    with open(path, "wb") as f:
        f.truncate(height * width)
        for y in range(0, height // size, height // size // 16):
            f.seek(((height // size) * 5 + y) * width)
            f.write(b"\xff" * (width // 2))
    rows = run("thumbnail.py", path, height, width, size).splitlines()
    assert len(rows) == size and rows[5] == "@" * 16 + " " * 16
    assert all(row.strip() == "" for i, row in enumerate(rows) if i != 5)


def test_shards(floats, tmp_path):
    path, values = floats
    parts = [str(tmp_path / f"part-{i}") for i in range(3)]
    for i, part in enumerate(parts):
        run("shard.py", "run", i, 3, part, path)
    mean = values.astype("f8").mean()
    assert run("shard.py", "merge", *parts) == f"n {values.size}  mean {mean:.6f}  max {values.max():.6g}\n"


def test_range_service(floats):
    path, values = floats
    with subprocess.Popen([sys.executable, os.path.join(EXAMPLES, "range_service.py"), str(path.parent), "0"],
                          stdout=subprocess.PIPE, text=True) as server:  # fmt: skip
        try:
            port = int(server.stdout.readline().split()[-1])
            wrong = []

            def ask(k):
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                for i in range(k, 400, 4):
                    c.request("GET", "/a.f32", headers={"Range": f"bytes={i * 100}-{i * 100 + 99}"})
                    r = c.getresponse()
                    if r.status != 206 or r.read() != values.tobytes()[i * 100 : i * 100 + 100]:
                        wrong.append(i)
                c.request("GET", "/none", headers={"Range": "bytes=0-1"})
                if c.getresponse().status != 404:
                    wrong.append("none")
                c.close()

            threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert wrong == []
        finally:
            server.terminate()
