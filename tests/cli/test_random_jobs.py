"""Random requests under random options, against numpy. A failure prints its seed and its command:
LSIO_SEED=N repeats it, LSIO_RUNS=N runs more of them."""
import os
import random
import unittest

import numpy as np

from support import RunnerTest

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { file = "list.npy", objects = { %(objects)s } }, type = "%(type)s",
  sink = lsio.%(sink)s("%(path)s"%(order)s), %(out_max)s
  state = "double n, steps; int64_t sum;", reduce = { n = "sum", steps = "sum", sum = "sum" },
  transform = function(chunk, state)
    state.n, state.steps = state.n + chunk.n, state.steps + 1
    state.sum = state.sum + lsio.k.sum_i64(chunk.data, chunk.n)
    %(body)s
  end,
}
"""
COPY_ALL = "lsio.k.copy(chunk.data, chunk.n, chunk.out)"
EVERY_OTHER = """local k = 0
    for i = 0, chunk.n - 1, 2 do chunk.out[k] = chunk.data[i]; k = k + 1 end
    return k"""


class RandomJobs(RunnerTest):
    def files(self, rng, item):
        names, files = [], []
        for i in range(rng.choice([1, 1, 2, 5, 20])):
            size = rng.choice([0, 1, 100, 511, 4096, 5000, 70000, 300000])
            data = np.frombuffer(rng.randbytes(size * item), "u1")
            name = "f%02d.bin" % i
            data.tofile(self.path(name))
            names.append(name)
            files.append(data)
        return names, files

    def rows(self, rng, files, item):
        rows = []
        for _ in range(rng.choice([0, 1, 2, 10, 200, 1500])):
            f = rng.randrange(len(files))
            size = files[f].size
            at = rng.randrange(size + 1)
            if rng.random() < 0.3:
                at = at // 4096 * 4096
            n = min(rng.choice([0, 1, 3, 64, 512, 1000, 4096, 20000, 1 << 20]) * item, size - at)
            n = n // item * item
            rows.append((f, at - size if rng.random() < 0.3 and at < size else at, n))
        if rng.random() < 0.3:
            rows += rows[:20]
        if rng.random() < 0.3:  # in order, as readers of whole files ask
            rows.sort(key=lambda r: (r[0], r[1] if r[1] >= 0 else files[r[0]].size + r[1]))
        return rows

    def options(self, rng):
        args = ["-j%d" % rng.choice([1, 2, 3, 5]), "--memory=" + rng.choice(["8MiB", "32MiB", "1GiB"])]
        for name, values in (("backend", ("auto", "pread", "mapped")), ("direct", ("always", "never", "auto")),
                             ("merge", ("never", "auto", "0", "100", "64KiB")),
                             ("queue-depth", ("1", "3", "200"))):
            if rng.random() < 0.7:
                args.append("--%s=%s" % (name, rng.choice(values)))
        return args

    def one(self, seed):
        rng = random.Random(seed)
        dtype, item = rng.choice([("u8", 1), ("i16", 2), ("i32", 4), ("i16be", 2), ("u16be", 2)])
        names, files = self.files(rng, item)
        rows = self.rows(rng, files, item)
        np.save(self.path("list.npy"), np.array(rows, "<i8").reshape(-1, 3))
        args, first, last, path = self.options(rng), 0, len(rows), "out"
        if rng.random() < 0.3:
            n = rng.randrange(1, 6)
            i = rng.randrange(n)
            first, last = i * len(rows) // n, (i + 1) * len(rows) // n
            args.append("--shard=%d/%d" % (i, n))
            path = "out-{shard}"
        if rng.random() < 0.2:
            limit = rng.randrange(1, 300)
            last = min(last, first + limit)
            args.append("--limit=%d" % limit)
        np_type = {"u8": "u1", "i16": "<i2", "i32": "<i4", "i16be": ">i2", "u16be": ">u2"}[dtype]
        parts = [files[f][at if at >= 0 else files[f].size + at:][:n].view(np_type).astype(
            np_type.replace(">", "<")) for f, at, n in rows[first:last]]
        kind = rng.choice(["fixed", "ordered", "completed"])
        sink = rng.choice(["npy", "raw"])
        job = JOB % {"objects": ", ".join('"%s"' % n for n in names), "type": dtype, "sink": sink,
                     "path": path, "order": ', { order = "completed" }' if kind == "completed" else "",
                     "out_max": "" if kind == "fixed" else "out_max = 400000,",
                     "body": COPY_ALL if kind == "fixed" else EVERY_OTHER}
        r = self.run_lsio(*(args + ["--json=s.json", "-e", job]))
        what = "LSIO_SEED=%d, %s: %r" % (seed, " ".join(args), r)
        if kind != "fixed" and "--memory=8MiB" in args and r.code == 9:
            self.assertIn("a step needs", r.err, what)
            return
        self.assertEqual(r.code, 0, what)
        s = self.summary()
        self.assertEqual((s["state"]["n"], s["state"]["steps"]), (sum(p.size for p in parts), len(parts)), what)
        self.assertEqual(s["state"]["sum"], sum(int(p.sum(dtype="i8")) for p in parts), what)
        self.assertEqual((s["chunks"], s["chunks_failed"]), (len(parts), 0), what)
        out = [n for n in self.left() if n.startswith("out") and not n.endswith(".index.npy")]
        self.assertEqual(len(out), 1, what)
        got = (np.load(self.path(out[0])) if sink == "npy" else
               np.fromfile(self.path(out[0]), np_type.replace(">", "<")))
        if kind != "fixed":
            parts = [p[::2] for p in parts]
        if kind == "completed":
            index = np.load(self.path(out[0] + ".index.npy"))
            index = index[index[:, 0].argsort()]
            self.assertEqual(index[:, 0].tolist(), list(range(first, last)), what)
            self.assertEqual(got.size, index[:, 2].sum(), what)
            got = np.concatenate([got[:0]] + [got[at:at + n] for _, at, n in index])
        np.testing.assert_array_equal(got, np.concatenate([got[:0]] + parts), what)

    def test_random_jobs(self):
        seed = os.environ.get("LSIO_SEED")
        seeds = [int(seed)] if seed else [int.from_bytes(os.urandom(4), "little")
                                          for _ in range(int(os.environ.get("LSIO_RUNS", "40")))]
        for seed in seeds:
            self.one(seed)
            for name in self.left():
                os.unlink(self.path(name))


if __name__ == "__main__":
    unittest.main()
