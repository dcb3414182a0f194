"""SIGKILL at random moments, for every kind of sink: nothing torn stands under an output's name, hardly
anything is left behind, and the same job then runs to its end. LSIO_SWEEP=1 kills fifty times as often;
LSIO_SEED repeats a run's moments."""
import os
import random
import signal
import time
import unittest

import numpy as np

from support import RunnerTest
from test_hostile import refuse

STEPS, VALUES = 96, 4096  # of 16 KiB each
SWEEP = 50 if os.environ.get("LSIO_SWEEP") else 1

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "16KiB" }), type = "f32", merge = "never", %s
  sink = lsio.%s("out", { %s }),
  transform = function(chunk)
    local t = os.clock() + 0.0003
    while os.clock() < t do end
    lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 2, 0)
    %s
  end,
}
"""

# Kind of sink, its options, keys of the job, end of the transform.
SINKS = {
    "npy": ("npy", "", "", ""),
    "raw": ("raw", "", "", ""),
    "window": ("npy", "", "out_max = 4096,", "return chunk.n - chunk.index % 7"),
    "completed": ("npy", 'order = "completed",', "out_max = 4096,", "return chunk.n - chunk.index % 7"),
}


class Killed(RunnerTest):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("LSIO_SEED") or time.time())
        self.random = random.Random(self.seed)
        self.values = np.arange(STEPS * VALUES, dtype="<f4").reshape(STEPS, VALUES)
        self.values.tofile(self.path("a.f32"))

    def nameless(self):
        """Does the file system make files without a name?"""
        try:
            os.close(os.open(self.dir, os.O_TMPFILE | os.O_RDWR))
            return True
        except OSError:
            return False

    def check_whole(self, kind):
        variable = kind in ("window", "completed")
        parts = [2 * v[:VALUES - i % 7] if variable else 2 * v for i, v in enumerate(self.values)]
        if kind == "raw":
            got = np.fromfile(self.path("out"), "<f4")
        else:
            got = np.load(self.path("out"))
        if kind == "completed":
            rows = np.load(self.path("out.index.npy"))
            self.assertEqual(sorted(rows[:, 0]), list(range(STEPS)))
            for index, offset, count in rows:
                np.testing.assert_array_equal(got[offset:offset + count], parts[index])
        else:
            np.testing.assert_array_equal(got, np.concatenate(parts))

    def is_old(self, name):
        with open(self.path(name), "rb") as f:
            return f.read() == b"old"

    def check_names(self, kind, replace):
        """After a kill. The pair of order = "completed" gets its names one after the other, the index first."""
        pair = ["out", "out.index.npy"] if kind == "completed" else ["out"]
        there = [name for name in pair if os.path.exists(self.path(name))]
        old = [name for name in there if replace and self.is_old(name)]
        if "out" in old:
            self.assertEqual(old, pair)  # old data beside a new index would be wrong data
        elif "out" in there:
            self.check_whole(kind)
        elif replace:
            self.assertEqual(kind, "completed")
        return [name for name in self.left() if name not in pair + ["a.f32"]]

    def kill_and_run_again(self, kind, durability, replace, longest, **more):
        sink, options, keys, end = SINKS[kind]
        options += 'durability = "%s",' % durability + ('exists = "replace"' if replace else "")
        job = JOB % (keys, sink, options, end)
        pair = ["out", "out.index.npy"] if kind == "completed" else ["out"]
        for name in pair if replace else []:
            self.write(name, "old")
        p = self.start("-j2", "-e", job, **more)
        time.sleep(self.random.random() * longest)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        left = self.check_names(kind, replace)
        for name in left:
            self.assertRegex(name, r"^\.out(\.index\.npy)?\.lsio-[0-9a-f]{12}\.tmp$")
        if not replace:
            for name in pair:
                if os.path.exists(self.path(name)):
                    os.unlink(self.path(name))
        self.expect(0, "-j2", "-e", job, **more)
        self.check_whole(kind)
        self.assertEqual(sorted(left), [n for n in self.left() if n.endswith(".tmp")])
        for name in self.left():
            if name != "a.f32":
                os.unlink(self.path(name))
        return p.returncode, left

    def duration(self):
        start = time.monotonic()
        self.expect(0, "-j2", "-e", JOB % ("", "npy", "", ""))
        os.unlink(self.path("out"))
        return time.monotonic() - start

    def kills(self, times, **more):
        killed, left = 0, []
        longest = 1.2 * self.duration()
        for kind in list(SINKS) * times * SWEEP:
            for replace in (False, True):
                durability = self.random.choice(("none", "batch", "each"))
                with self.subTest(kind=kind, durability=durability, replace=replace, seed=self.seed):
                    code, some = self.kill_and_run_again(kind, durability, replace, longest, **more)
                    killed += code == -signal.SIGKILL
                    left += some
        self.assertGreater(killed, 0)
        return killed, left

    def test_every_sink(self):
        killed, left = self.kills(3)
        if self.nameless():
            # Only between two names of a file that replaces another, which takes microseconds.
            self.assertLess(len(left), 3 + killed / 20, self.seed)

    def test_where_files_need_a_name(self):
        self.kills(2, before=refuse("linkat"))


if __name__ == "__main__":
    unittest.main()
