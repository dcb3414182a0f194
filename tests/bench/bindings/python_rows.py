"""The Python package against its peers, in one process, by turns: medians of ratios, as tests/bench/run has them.

    VENV/bin/python tests/bench/bindings/python_rows.py [--folder FOLDER] [--pairs 7] [--row NAME] [--build BUILD]

VENV needs lsio, numpy and, of what is compared with, obstore, tensorstore and fsspec; a row whose peer is missing is
left out, aloud. `stream` is held against the C program drive_stream of BUILD (-DLSIO_BENCH=ON). Data (1 GiB) is
made in FOLDER and read from the page cache.
"""
import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np

import lsio

FILES, FILE_BYTES = 8, 128 << 20
MANY = 1_000_000


def best_of(n, f):
    return min(f() for _ in range(n))


class Data:
    def __init__(self, folder, build):
        self.build = build
        self.paths = [os.path.join(folder, f"bindings-{i}.bin") for i in range(FILES)]
        rng = np.random.default_rng(1)
        for path in self.paths:
            if not os.path.exists(path) or os.path.getsize(path) != FILE_BYTES:
                rng.integers(0, 256, FILE_BYTES, np.uint8).tofile(path)
            with open(path, "rb") as f:
                while f.read(1 << 22):
                    pass
        self.objects = rng.integers(0, FILES, MANY).astype(np.uint32)
        self.starts = rng.integers(0, FILE_BYTES // 4096, MANY).astype(np.int64) * 4096


def timed(n, f):
    start = time.perf_counter()
    f()
    return (time.perf_counter() - start) / n


# ---- sides: seconds for each of their items

def awaited(get, n):
    async def run():
        for i in range(n):
            await get(i * 4096)
    return timed(n, lambda: asyncio.run(run()))


def lsio_awaited(d):
    return awaited(lambda at: lsio.get_range_async(d.paths[0], start=at, length=4096), 2000)


def obstore_awaited(d):
    import obstore
    store = obstore.store.LocalStore(os.path.dirname(d.paths[0]))
    name = os.path.basename(d.paths[0])
    return awaited(lambda at: obstore.get_range_async(store, name, start=at, length=4096), 2000)


def tensorstore_awaited(d):
    import tensorstore as ts
    folder, name = os.path.split(d.paths[0])
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": folder + "/"}}
    kv = ts.KvStore.open(spec["kvstore"]).result()

    async def get(at):
        return await kv.read(name)
    del get
    array = ts.open({"driver": "zarr", "kvstore": spec["kvstore"] | {"path": folder + "/ts.zarr/"}, "create": True,
                     "delete_existing": True, "metadata": {"shape": [8192, 4096], "chunks": [1, 4096], "dtype": "|u1",
                                                            "compressor": None}}).result()
    array[:2000].write(np.ones((2000, 4096), np.uint8)).result()
    return awaited(lambda at: array[at // 4096].read(), 2000)


def lsio_many(d):
    out = np.empty(MANY * 4096, np.uint8)
    out[::4096] = 0
    return best_of(1, lambda: timed(MANY, lambda: lsio.cat_ranges(d.paths, objects=d.objects, starts=d.starts,
                                                                 lengths=4096, out=out)))


def lsio_many_new(d):
    """Into memory that nobody has touched, as the peers do."""
    return timed(MANY, lambda: lsio.cat_ranges(d.paths, objects=d.objects, starts=d.starts, lengths=4096))


def obstore_many(d):
    import obstore
    n = MANY // 10  # it takes as long for each
    store = obstore.store.LocalStore(os.path.dirname(d.paths[0]))

    def run():
        for i, path in enumerate(d.paths):
            starts = d.starts[:n][d.objects[:n] == i].tolist()
            obstore.get_ranges(store, os.path.basename(path), starts=starts, lengths=[4096] * len(starts))
    return timed(n, run)


def fsspec_many(d):
    import fsspec
    n = MANY // 20
    fs = fsspec.filesystem("file")
    paths = [d.paths[i] for i in d.objects[:n]]
    starts = d.starts[:n].tolist()
    return timed(n, lambda: fs.cat_ranges(paths, starts, [s + 4096 for s in starts]))


def thread_cpu(f):
    start = time.thread_time()
    n = f()
    return (time.thread_time() - start) / n


def loop_out(d):
    out = np.empty(MANY * 4096, np.uint8)

    async def run():
        await lsio.cat_ranges_async(d.paths, objects=d.objects, starts=d.starts, lengths=4096, out=out)
        return MANY
    return thread_cpu(lambda: asyncio.run(run()))


def stream(d):
    return lsio.submit(lsio.ranges(d.paths, object=d.objects, offset=d.starts, length=4096))


def loop_batches(d):
    async def run():
        n = 0
        async for batch in stream(d):
            n += len(batch)
        return n
    return thread_cpu(lambda: asyncio.run(run()))


def loop_chunks(d):
    async def run():
        n = 0
        async for batch in stream(d):
            for _ in batch:
                n += 1
        return n
    return thread_cpu(lambda: asyncio.run(run()))


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def growth(d):
    """What a large job had is given back by a thread of LSIO's, after its end: so each pass is left to settle."""
    seen = []
    for _ in range(5):
        for batch in stream(d):
            len(batch)
        del batch
        now = before = 0
        while not before or now != before:
            before = now
            time.sleep(0.2)
            now = rss()
        seen.append(now)
    return (seen[4] - seen[1]) / (1 << 20)


def batches(d):
    start, n = time.perf_counter(), 0
    for batch in lsio.submit(lsio.files(d.paths, chunk=4096)):
        n += len(batch)
    return (time.perf_counter() - start) / n


def batches_c(d):
    if not d.build:
        raise ImportError(name="--build")
    command = [os.path.join(d.build, "tests/bench/drive_stream"), "--rounds=3", *d.paths]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return said["wall_s"] * 4096 / said["bytes"]


ROWS = [  # name, what, LSIO's side, peers, bar on the ratio LSIO / best peer, or on the figure itself
    ("awaited", "awaited get_range of 4 KiB, us", lsio_awaited, (obstore_awaited, tensorstore_awaited), 0.6),
    ("cat-obstore", "cat_ranges of 10^6 x 4 KiB into out, us each", lsio_many, (obstore_many,), 1 / 8),
    ("cat-fsspec", "the same against fsspec", lsio_many, (fsspec_many,), 1 / 40),
    ("new-obstore", "the same into a new array against obstore", lsio_many_new, (obstore_many,), 1 / 8),
    ("new-fsspec", "and against fsspec", lsio_many_new, (fsspec_many,), 1 / 40),
    ("loop-out", "loop thread's CPU a chunk into out, us", loop_out, (), 0.03),
    ("loop-batch", "the same by batch", loop_batches, (), 0.1),
    ("loop-chunk", "the same by chunk object", loop_chunks, (), 0.5),
    ("stream", "batches of 4 KiB, us each, against C", batches, (batches_c,), 1.15),
]


def measure(row, d, pairs):
    name, what, ours, peers, bar = row
    sides = []
    for peer in peers:
        try:
            peer(d)
            sides.append(peer)
        except ImportError as e:
            print(f"{name}: without {e.name}")
    ours(d)
    own, ratios = [], []
    for _ in range(pairs):
        own.append(ours(d) * 1e6)
        others = [p(d) * 1e6 for p in sides]
        if others:
            ratios.append(own[-1] / min(others))
    figure = statistics.median(ratios) if ratios else statistics.median(own)
    kind = "ratio" if ratios else "us"
    print(f"{name:12} {what:48} {statistics.median(own):9.3f} us  {kind} {figure:.3f}  bar {bar:.3f}  "
          f"{'yes' if figure <= bar else 'NO'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--row", default="")
    parser.add_argument("--build", default="")
    args = parser.parse_args()
    d = Data(args.folder, args.build)
    for row in ROWS:
        if row[0].startswith(args.row):
            measure(row, d, args.pairs)
    if "growth".startswith(args.row):
        print(f"growth       RSS from pass 2 to 5 of 10^6 chunks, MiB: {growth(d):.2f}  bar 1.00")


if __name__ == "__main__":
    main()
