"""Results do not depend on how they are made: workers, backends, direct reads, merging, LuaJIT's
compiler, shards, windows. All against numpy."""
import itertools
import os
import random
import unittest

import numpy as np

from support import RunnerTest

# Statistics, a fixed placed output, ranges that overlap, gaps to merge over or not.
ALL = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { file = "list.npy", objects = { "a.i16", "b.i16", "c.i16" } },
  type = "i16", sink = lsio.npy("out.npy", { type = "f32", exists = "replace" }),
  state = "int64_t sum, low, high; double n, tags, counts[8]; lsio_moments m;",
  reduce = { sum = "sum", low = "min", high = "max", n = "sum", tags = "sum", counts = "sum", m = "moments" },
  transform = function(chunk, state)
    state.sum = state.sum + lsio.k.sum_i64(chunk.data, chunk.n)
    if chunk.n > 0 then
      local low, high = lsio.k.minmax(chunk.data, chunk.n)
      if low < state.low then state.low = low end
      if high > state.high then state.high = high end
    end
    lsio.k.histogram(chunk.data, chunk.n, -32768, 32768, 8, state.counts)
    lsio.k.moments(chunk.data, chunk.n, state.m)
    for i = 0, chunk.n - 1 do state.n = state.n + 1 end
    state.tags = state.tags + chunk.tag
    lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 0.5, 1)
  end,
}
"""

# Keeps a random part of each chunk, of a size that numpy knows too.
KEEP = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = %d }), type = "f32", out_max = %d,
  sink = lsio.npy("out.npy", { exists = "replace"%s }),
  transform = function(chunk)
    local k = 0
    for i = 0, chunk.n - 1 do
      if chunk.data[i] >= 0 then chunk.out[k] = chunk.data[i]; k = k + 1 end
    end
    if chunk.index %% 7 == 0 then local t = os.clock() + 0.002 while os.clock() < t do end end
    return k
  end,
}
"""

RANDOM = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = 400 }), type = "f32",
  sink = lsio.npy("%s", { type = "f64", exists = "replace" }), seed = %d,
  transform = function(chunk)
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.random() end
    chunk.out[0] = chunk.random(1000)
    chunk.out[1] = chunk.index
    chunk.out[2] = chunk.random(-3, 3)
  end,
}
"""


class Seeded(RunnerTest):
    def setUp(self):
        super().setUp()
        self.seed = int.from_bytes(os.urandom(4), "little")
        self.rng = np.random.RandomState(self.seed)


class SameResults(Seeded):
    def ranges(self):
        """Files and ranges; what the output must be, and the ranges' elements."""
        files = [self.rng.randint(-32768, 32768, n).astype("<i2") for n in (300000, 1, 70000)]
        for name, values in zip("abc", files):
            values.tofile(self.path(name + ".i16"))
        rows = []
        for i in range(2000):
            f = self.rng.choice(3, p=(0.6, 0.02, 0.38))
            size = files[f].size
            at = self.rng.randint(0, size + 1)
            n = min(int(self.rng.choice([0, 1, 100, 2000, 4096])), size - at)
            rows.append((f, at * 2 - (size * 2 if i % 5 == 0 and at < size else 0), n * 2, i))
        rows += rows[::97]
        np.save(self.path("list.npy"), np.array(rows, "<i8"))
        parts = [files[f][(at if at >= 0 else at + files[f].nbytes) // 2:][:n // 2]
                 for f, at, n, _ in rows]
        return np.concatenate(parts), sum(r[3] for r in rows)

    def check(self, state, values, tags, what):
        wide = values.astype("<i8")
        self.assertEqual(state["sum"], int(wide.sum()), what)
        self.assertEqual((state["low"], state["high"]), (int(wide.min()), int(wide.max())), what)
        self.assertEqual((state["n"], state["tags"]), (values.size, tags), what)
        bins = np.bincount((wide + 32768) >> 13, minlength=8)
        self.assertEqual(state["counts"], bins.tolist(), what)
        self.assertEqual(state["m"]["n"], values.size, what)
        self.assertAlmostEqual(state["m"]["mean"], wide.mean(), 6, what)
        self.assertTrue(np.isclose(state["m"]["m2"], wide.var() * wide.size, rtol=1e-12), what)
        np.testing.assert_array_equal(np.load(self.path("out.npy")),
                                      (values.astype("<f8") * 0.5 + 1).astype("<f4"), str(what))

    def test_ways_of_reading(self):
        values, tags = self.ranges()
        ways = list(itertools.product(("uring", "pread", "mapped"), ("always", "never", "auto"),
                                      ("never", "auto", "1MiB")))
        if self.run_lsio("--backend=uring", "--explain", "-e", ALL).code != 0:
            ways = [w for w in ways if w[0] != "uring"]
        try:
            os.close(os.open(self.path("a.i16"), os.O_RDONLY | os.O_DIRECT))
            can_be_direct = True
        except OSError:
            can_be_direct = False
        for i, (backend, direct, merge) in enumerate(ways):
            args = ["-j%d" % (1 + i % 3), "--backend=" + backend, "--direct=" + direct,
                    "--merge=" + merge, "--json=s.json", "-e", ALL]
            if i % 4 == 3:
                args.insert(0, "--queue-depth=1")
            r = self.run_lsio(*args)
            what = (self.seed, args[:-1], r)
            self.assertEqual(r.code, 0, what)
            s = self.summary()
            self.check(s["state"], values, tags, what)
            self.assertEqual(s["bytes_requested"], values.nbytes, what)
            self.assertEqual(s["bytes_written"], values.size * 4, what)
            self.assertEqual(s["backend"], backend, what)
            if direct != "auto":  # no byte is copied by the CPU: by the device's hand, or used in place
                all_of_it = can_be_direct if direct == "always" else backend == "mapped"
                self.assertEqual(s["bytes_direct"], s["bytes_read"] if all_of_it else 0, what)

    def test_without_the_compiler(self):
        values, tags = self.ranges()
        for workers in ("-j1", "-j3"):
            self.expect(0, workers, "--json=s.json", "-e", ALL, env={"LSIO_JIT": "off"})
            self.check(self.summary()["state"], values, tags, (self.seed, workers))

    def test_little_memory(self):
        values, tags = self.ranges()
        for memory in ("1MiB", "3MiB", "64MiB"):
            self.expect(0, "-j4", "--memory=" + memory, "--json=s.json", "-e", ALL)
            self.check(self.summary()["state"], values, tags, (self.seed, memory))

    def test_shards_and_limit(self):
        values, tags = self.ranges()
        rows = np.load(self.path("list.npy"))
        lengths = rows[:, 2] // 2
        job = ALL.replace('"out.npy"', '"out-{shard}.npy"')
        for n in (1, 2, 7):
            parts, sums = [], 0
            for i in range(n):
                self.expect(0, "--shard=%d/%d" % (i, n), "-j2", "--json=s.json", "-e", job)
                parts.append(np.load(self.path("out-%04d-of-%04d.npy" % (i, n))))
                first, last = i * len(rows) // n, (i + 1) * len(rows) // n
                self.assertEqual(parts[-1].size, lengths[first:last].sum(), (self.seed, i, n))
                sums += self.summary()["state"]["sum"]
            np.testing.assert_array_equal(np.concatenate(parts), values.astype("<f4") * 0.5 + 1)
            self.assertEqual(sums, int(values.astype("<i8").sum()), self.seed)
        for limit in (1, 10, 1999, 10 ** 6):
            self.expect(0, "--limit=%d" % limit, "--json=s.json", "-e", ALL)
            part = values[:lengths[:limit].sum()]
            np.testing.assert_array_equal(np.load(self.path("out.npy")), part.astype("<f4") * 0.5 + 1)
        self.expect(0, "--shard=3/7", "--limit=5", "-e", job)
        first = 3 * len(rows) // 7
        at = lengths[:first].sum()
        np.testing.assert_array_equal(np.load(self.path("out-0003-of-0007.npy")),
                                      values[at:at + lengths[first:first + 5].sum()].astype("<f4") * 0.5 + 1)
        # More shards than steps: some have none.
        small = job.replace('file = "list.npy", objects = { "a.i16", "b.i16", "c.i16" }',
                            'objects = { "b.i16" }, offset = { 0, 0 }, length = 2, tag = { 1, 1 }')
        sizes = []
        for i in range(5):
            self.expect(0, "--shard=%d/5" % i, "-e", small)
            sizes.append(np.load(self.path("out-%04d-of-0005.npy" % i)).size)
        self.assertEqual(sizes, [0, 0, 1, 0, 1])

    def test_random_numbers(self):
        self.data(n=20050)
        outs = []
        for workers, way in ((1, "auto"), (2, "auto"), (3, "never"), (4, "auto")):
            self.expect(0, "-j%d" % workers, "--merge=" + way, "-e", RANDOM % ("out.npy", 7))
            outs.append(np.load(self.path("out.npy")))
        for other in outs[1:]:
            np.testing.assert_array_equal(outs[0], other)
        parts = []
        for i in range(3):
            self.expect(0, "-j2", "--shard=%d/3" % i, "-e", RANDOM % ("out-{shard}.npy", 7))
            parts.append(np.load(self.path("out-%04d-of-0003.npy" % i)))
        np.testing.assert_array_equal(outs[0], np.concatenate(parts))
        self.expect(0, "-e", RANDOM % ("out.npy", 8))
        self.assertFalse(np.array_equal(outs[0], np.load(self.path("out.npy"))))
        self.expect(0, "--seed=7", "-e", RANDOM % ("out.npy", 8))  # the flag wins
        np.testing.assert_array_equal(outs[0], np.load(self.path("out.npy")))
        rest = np.delete(outs[0], np.concatenate([np.arange(0, 20050, 100) + k for k in range(3)]))
        self.assertTrue((rest >= 0).all() and (rest < 1).all())
        self.assertEqual(np.unique(rest).size, rest.size)
        self.assertAlmostEqual(rest.mean(), 0.5, 1)
        np.testing.assert_array_equal(outs[0][1::100], np.arange(201))
        self.assertTrue(np.isin(outs[0][2::100], np.arange(-3, 4)).all())


class VariableResults(Seeded):
    def keep(self, chunk):
        values = self.rng.standard_normal(200000).astype("<f4")
        for at in range(0, values.size, chunk):  # whole chunks that keep all, and that keep nothing
            kind = self.rng.randint(4)
            if kind < 2:
                values[at:at + chunk] = np.abs(values[at:at + chunk]) * (1 if kind else -1)
        values.tofile(self.path("a.f32"))
        return values[values >= 0], -(-values.size // chunk), values

    def test_in_request_order_with_a_tiny_window(self):
        for chunk, memory in ((64, "512KiB"), (1000, "256KiB"), (20000, "2MiB"), (200000, "8MiB")):
            expected, _, _ = self.keep(chunk)
            for workers in (2, 3, 4):
                r = self.run_lsio("-j%d" % workers, "--memory=" + memory, "--json=s.json", "--merge=never",
                                  "-e", KEEP % (chunk * 4, chunk, ""))
                self.assertEqual(r.code, 0, (self.seed, chunk, workers, r))
                np.testing.assert_array_equal(np.load(self.path("out.npy")), expected,
                                              str((self.seed, chunk, workers)))
                self.assertEqual(self.summary()["bytes_written"], expected.nbytes)

    def test_in_order_of_completion_with_an_index(self):
        for chunk in (64, 20000):
            expected, n, values = self.keep(chunk)
            for workers in (1, 3):
                self.expect(0, "-j%d" % workers, "-e", KEEP % (chunk * 4, chunk, ', order = "completed"'))
                data, index = np.load(self.path("out.npy")), np.load(self.path("out.npy.index.npy"))
                index = index[index[:, 0].argsort()]
                np.testing.assert_array_equal(index[:, 0], np.arange(n))
                for i, at, count in index:
                    part = values[i * chunk:(i + 1) * chunk]
                    np.testing.assert_array_equal(data[at:at + count], part[part >= 0], str(self.seed))
                self.assertEqual(data.size, expected.size)
                spans = index[index[:, 2] > 0]
                spans = spans[spans[:, 1].argsort()]
                np.testing.assert_array_equal(spans[1:, 1], spans[:-1, 1] + spans[:-1, 2])

    def test_shards_of_variable_results(self):
        expected, n, _ = self.keep(1000)
        parts = []
        for i in range(3):
            self.expect(0, "-j2", "--shard=%d/3" % i, "-e",
                        (KEEP % (4000, 1000, "")).replace("out.npy", "o-{shard}.npy"))
            parts.append(np.load(self.path("o-%04d-of-0003.npy" % i)))
        np.testing.assert_array_equal(np.concatenate(parts), expected)

    def test_skipped_steps_leave_nothing(self):
        _, n, values = self.keep(1000)
        bad = sorted(random.Random(self.seed).sample(range(n), n // 4))
        lua = "{ " + ", ".join("[%d] = true" % b for b in bad) + " }"
        state = ' state = "double n, sum; int64_t last;", reduce = { n = "sum", sum = "sum", last = "max" },'
        early = """state.n = state.n + 1
    state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)
    state.last = chunk.index
    if (%s)[chunk.index] then error("bad") end
    """ % lua
        good = np.setdiff1d(np.arange(n), bad)
        for late in (False, True):
            job = (KEEP % (4000, 1000, "")).replace("transform = function(chunk)",
                                                    state + ' on_error = "skip", transform = function(chunk, state) ')
            if late:  # what it returns is what is wrong
                job = job.replace("return k", early.replace('error("bad")', "return 1001") + " return k")
            else:
                job = job.replace("return k", early + " return k")
            for workers in (1, 3):
                r = self.run_lsio("-j%d" % workers, "--json=s.json", "-e", job)
                self.assertEqual(r.code, 1, (self.seed, late, r))
                s = self.summary()
                self.assertEqual(s["state"]["n"], good.size, self.seed)
                self.assertEqual(s["state"]["last"], int(good.max()), self.seed)
                parts = [values[i * 1000:(i + 1) * 1000] for i in good]
                self.assertTrue(np.isclose(s["state"]["sum"], sum(p.sum(dtype="f8") for p in parts)))
                kept = np.concatenate(parts)
                np.testing.assert_array_equal(np.load(self.path("out.npy")), kept[kept >= 0])
                self.assertEqual((s["chunks"], s["chunks_failed"]), (good.size, len(bad)))

    def test_what_cannot_be_delivered_leaves_nothing(self):
        self.data(n=1000)
        job = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = 400 }), type = "f32", on_error = "skip",
  state = "double n;", reduce = { n = "sum" },
  transform = function(chunk, state)
    state.n = state.n + 1
    if chunk.index == 4 then return %s end
  end,
  done = function(r) print(r.n) end,
}
"""
        for value in ('"a record"', "{ 1 }", "5", "-1", "true"):
            r = self.expect(1, "-j1", "-e", job % value)
            self.assertEqual(r.out, "9\n", value)

    def test_skipped_steps_are_filled(self):
        values = self.data(n=50000)
        for fill, type_, stored in (("-1", "f32", -1), ("0/0", "f32", np.nan), ("7.6", "i16", 8),
                                    ("1e9", "i16", 32767), ("-1", "u8", 0)):
            job = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = 400 }), type = "f32", on_error = "skip", fill = %s,
  sink = lsio.npy("out.npy", { type = "%s", exists = "replace" }),
  transform = function(chunk)
    lsio.k.cast(chunk.data, chunk.n, chunk.out)
    if chunk.index %% 3 == 1 then error("bad") end
    if chunk.index %% 5 == 2 then return false end
  end,
}""" % (fill, type_)
            self.expect(1, "-j3", "--json=s.json", "-e", job)
            expected = np.clip(values, *((0, 255) if type_ == "u8" else (-32768, 32767))).astype(type_.replace(
                "f32", "<f4").replace("i16", "<i2").replace("u8", "u1"))
            for i in range(500):
                if i % 3 == 1 or i % 5 == 2:
                    expected[i * 100:(i + 1) * 100] = stored
            np.testing.assert_array_equal(np.load(self.path("out.npy")), expected, str((fill, type_)))
            self.assertEqual(self.summary()["chunks_failed"], 167)


if __name__ == "__main__":
    unittest.main()
