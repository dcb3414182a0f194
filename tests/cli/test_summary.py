"""The summary: where the time went, why more was read than was asked for."""
import os
import unittest

import numpy as np

from support import COPY, STATS, RunnerTest

PARTS = "start_s setup_s list_s plan_s read_s poll_s reduce_s publish_s done_s".split()

RANGES = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { file = "r.npy", objects = { "a.bin" } },
  state = "double n;", reduce = { n = "sum" },
  transform = function(chunk, state) state.n = state.n + chunk.n end,
}
"""


class Times(RunnerTest):
    def test_parts_add_up(self):
        self.data(n=100000)
        for job in (STATS, COPY):
            self.expect(0, "--json=s.json", "-e", job.replace("out.npy", "out%d.npy" % len(job)))
            s = self.summary()
            self.assertAlmostEqual(sum(s[p] for p in PARTS), s["total_s"], delta=1e-5)
            self.assertAlmostEqual(s["read_s"] + s["publish_s"] * (job is COPY), s["wall_s"], delta=2e-6)
            for part in PARTS:
                self.assertGreaterEqual(s[part], 0)
            self.assertGreater(min(s[p] for p in ("start_s", "list_s", "plan_s", "read_s")), 0)

    def test_what_is_slow_is_shown(self):
        """Each part is the one that is made to take long."""
        self.data(n=1000)
        spin = "(function() local t = os.clock() while os.clock() - t < 0.2 do end end)()"
        job = ('local lsio = require "lsio" %s return lsio.job { type = "f32", '
               'source = function() %s return lsio.files("a.f32", { chunk = "400" }) end, '
               'setup = function() %s end, transform = function(c, s) if c.index == 0 then %s end s.n = s.n + 1 end, '
               'state = "double n;", reduce = %s, done = function() %s end }')
        for i, part in enumerate(("list_s", "setup_s", "read_s", "reduce_s", "done_s")):
            work = [spin if i == k else "" for k in range(5)]
            reduce = "function(a, b) %s a.n = a.n + b.n return a end" % work[3] if work[3] else '{ n = "sum" }'
            self.expect(0, "-j2" if work[3] else "-j1", "--merge=never", "--json=s.json", "-e",
                            job % ("", *work[:3], reduce, work[4]))
            s = self.summary()
            if work[3] and sum(w["steps"] > 0 for w in s["workers"]) < 2:
                continue  # one worker had done all before the other began: nothing to merge
            self.assertGreater(s[part], 0.15, part)
            self.assertGreater(s[part], 0.5 * s["total_s"], (part, s))

    def test_done_is_told_the_times_before_it(self):
        self.data()
        r = self.expect(0, "-e", STATS.replace(
            "done = function(r)", "done = function(r, i) print(i.start_s > 0, i.total_s > i.read_s, i.setup_s, "
            "math.abs(i.total_s - i.start_s - i.setup_s - i.list_s - i.plan_s - i.read_s - i.poll_s - i.reduce_s - "
            "i.publish_s) < 1e-9)"))
        self.assertEqual(r.out.splitlines()[0].split(), ["true", "true", "0", "true"])

    def test_a_job_that_was_not_submitted_has_all_names(self):
        self.data()
        self.expect(0, "--json=s.json", "-e", STATS)
        names = set(self.summary())
        self.expect(3, "--json=t.json", "-e", "return 1")
        self.assertEqual(set(self.summary("t.json")), names)


class OverRead(RunnerTest):
    def ranges(self, rows, *args, size=1 << 20):
        with open(self.path("a.bin"), "wb") as f:
            f.write(os.urandom(size))
        np.save(self.path("r.npy"), np.array([(0, o, n) for o, n in rows], "<i8"))
        self.expect(0, "-j1", "--json=s.json", *args, "-e", RANGES)
        s = self.summary()
        self.assertEqual(s["state"]["n"], sum(n for _, n in rows))
        return s

    def causes(self, s):
        return {k: s["bytes_" + k] for k in ("gaps", "twice", "alignment", "retried") if s["bytes_" + k]}

    def test_nothing_beyond(self):
        s = self.ranges([(4096 * i, 4096) for i in range(64)])
        self.assertEqual(self.causes(s), {})
        self.assertEqual(s["bytes_read"], 64 * 4096)

    def test_gaps(self):
        s = self.ranges([(4096 * i, 1024) for i in range(64)], "--direct=never", "--merge=4KiB")
        self.assertEqual(self.causes(s), {"gaps": 63 * 3072})
        self.assertEqual(s["bytes_read"], 64 * 1024 + 63 * 3072)

    def test_overlaps_read_apart(self):
        s = self.ranges([(4096 * i, 8192) for i in range(64)], "--direct=never", "--merge=never")
        self.assertEqual(self.causes(s), {"twice": 63 * 4096})
        plan = self.expect(0, "--explain", "--merge=never", "-e", RANGES).out
        self.assertIn("(252 KiB, 252 KiB more than once)", plan)

    def test_alignment(self):
        try:
            os.close(os.open(self.write("x", "x"), os.O_RDONLY | os.O_DIRECT))
        except OSError as e:
            self.skipTest("no O_DIRECT in %s: %s" % (self.dir, e))
        s = self.ranges([(65536 * i + 1000, 1000) for i in range(16)], "--direct=always", "--merge=never")
        self.assertEqual(list(self.causes(s)), ["alignment"])
        self.assertIn(s["bytes_alignment"] / 16, (4096 - 1000, 2048 - 512 - 1000))  # its blocks
        self.assertEqual(s["bytes_read"], 16 * 1000 + s["bytes_alignment"])
        self.assertEqual(s["bytes_direct"], s["bytes_read"])

    def test_alignment_ends_with_the_file(self):
        """Behind the end of a file there is nothing to read."""
        try:
            os.close(os.open(self.write("x", "x"), os.O_RDONLY | os.O_DIRECT))
        except OSError as e:
            self.skipTest("no O_DIRECT in %s: %s" % (self.dir, e))
        s = self.ranges([(8192, 1234)], "--direct=always", size=8192 + 1234)
        self.assertEqual(self.causes(s), {})

    def test_an_early_end_has_read_no_gaps(self):
        self.ranges([(4096 * i, 1024) for i in range(64)], "--merge=4KiB")
        self.expect(7, "--json=s.json", "--merge=4KiB", "-e", RANGES.replace("state.n = ", "error('no') state.n = "))
        self.assertEqual(self.summary()["bytes_gaps"], 0)


if __name__ == "__main__":
    unittest.main()
