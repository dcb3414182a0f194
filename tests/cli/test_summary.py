"""The summary: why more was read than was asked for."""
import os
import unittest

import numpy as np

from support import RunnerTest

RANGES = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { file = "r.npy", objects = { "a.bin" } },
  state = "double n;", reduce = { n = "sum" },
  transform = function(chunk, state) state.n = state.n + chunk.n end,
}
"""


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
