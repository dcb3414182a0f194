"""What a job is bound by: five jobs, each with one part that takes several times as long as all others."""
import json
import os
import subprocess
import unittest

import numpy as np

from support import RunnerTest

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("%s", { %s }),
  type = "f32",
  state = "double first;",
  transform = function(chunk, state) state.first = state.first + chunk.data[0] end,
  reduce = { first = "sum" },
%s
}
"""


class Bound(RunnerTest):
    def random(self, name, mebibytes):
        values = np.random.default_rng(5).random(mebibytes << 18, dtype="<f4")
        values.tofile(self.path(name))
        with open(self.path(name), "rb") as f:
            os.fsync(f.fileno())
        return values

    def on_disk(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.dir], stdout=subprocess.PIPE, text=True, check=True)
        return kind.stdout.strip() not in MEMORY_FILE_SYSTEMS

    def need_direct(self, name):
        """Where no read goes around the page cache, nothing waits for the device."""
        try:
            os.close(os.open(self.path(name), os.O_RDONLY | os.O_DIRECT))
        except OSError as e:
            self.skipTest("no O_DIRECT in %s: %s" % (self.dir, e))

    def explained(self, *args):
        return json.loads(self.expect(0, "--explain=json", *args).out)

    def summed_up(self, bound, words, *args):
        r = self.expect(0, "--json=s.json", *args)
        s = self.summary()
        self.assertEqual(s["bound"], bound, (s, r))
        self.assertIn("bound by " + words, r.err)
        return s

    def test_device(self):
        self.random("a.f32", 64)
        self.need_direct("a.f32")
        args = ("-j1", "--direct=always", "-e", JOB % ("a.f32", 'chunk = "256KiB"', ""))
        plan = self.explained(*args)
        self.assertEqual(plan["bound"], "device")
        self.assertAlmostEqual(plan["transform_s_per_step_most"] * 256, plan["expected_s"])
        self.summed_up("device", "the storage", *args)

    def test_latency(self):
        self.random("a.f32", 64)
        self.need_direct("a.f32")
        rng = np.random.default_rng(6)
        rows = np.stack([np.zeros(1500), rng.permutation(16384)[:1500] * 4096, np.full(1500, 4096)], 1)
        np.save(self.path("r.npy"), rows.astype("<i8"))
        job = (JOB % ("a.f32", "", "")).replace('lsio.files("a.f32", {  })',
                                                'lsio.ranges { file = "r.npy", objects = { "a.f32" } }')
        args = ("-j1", "--direct=always", "--merge=never", "-e", job)
        plan = self.explained("--queue-depth=1", *args)
        if plan["devices"][0]["kind"] in ("hdd", "memory"):
            self.skipTest("one read at a time keeps a device of this kind busy")
        self.assertEqual(plan["bound"], "latency")
        self.assertGreater(plan["expected_s"], 3 * self.explained(*args)["expected_s"])
        self.assertEqual(self.explained(*args)["bound"], "device")
        self.summed_up("latency", "the latency of single reads", "--queue-depth=1", *args)

    def test_decode(self):
        letters = np.random.default_rng(7).integers(97, 117, 64 << 20, dtype="u1")
        with open(self.path("a.zst"), "wb") as f:
            subprocess.run(["zstd", "-c", "-q", "-1"], input=letters.tobytes(), stdout=f, check=True)
        job = JOB % ("a.zst", "whole = true", '  codec = "zstd", decoded = "64MiB",')
        args = ("-j1", "--memory=1GiB", "-e", job)
        plan = self.explained(*args)
        self.assertEqual(plan["bound"], "decode")
        self.assertIn("of decoding, bound by decoding",
                      self.expect(0, "--explain", *args).out)
        s = self.summed_up("decode", "decompression", *args)
        self.assertEqual(s["bytes_decoded"], 64 << 20)

    def test_transform(self):
        self.random("a.f32", 8)
        job = (JOB % ("a.f32", 'chunk = "256KiB"', "")).replace(
            "state.first = state.first + chunk.data[0]",
            "for i = 0, chunk.n - 1 do state.first = state.first + math.sin(math.exp(chunk.data[i])) end")
        plan = self.expect(0, "-j1", "--explain", "-e", job).out
        self.assertRegex(plan, r"transform +only a run can tell; it sets the pace if it takes more than .* a step")
        self.summed_up("transform", "the transform", "-j1", "-e", job)

    def test_sink(self):
        if not self.on_disk():
            self.skipTest("what is written to memory is durable at once")
        values = self.random("a.f32", 8)
        job = """
            local lsio = require "lsio"
            return lsio.job {
              source = lsio.files("a.f32", { chunk = "8KiB" }),
              type = "f32",
              sink = lsio.npy("out.npy", { durability = "each" }),
            }"""
        plan = self.explained("-j1", "-e", job)
        self.assertEqual(plan["bound"], "sink")
        self.assertIsNone(plan["transform_s_per_step_most"])
        self.summed_up("sink", "writing the output", "-j1", "-e", job)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)

    def test_the_end_of_the_output_counts(self):
        self.random("a.f32", 16)
        job = """
            local lsio = require "lsio"
            return lsio.job {
              source = lsio.files("a.f32", { chunk = "256KiB" }), type = "f32", sink = lsio.npy("out.npy"),
              done = function(r, info) print(info.publish_s > 0 and info.publish_s < info.wall_s) end,
            }"""
        r = self.expect(0, "-j1", "--json=s.json", "-e", job)
        self.assertEqual(r.out, "true\n")
        s = self.summary()
        self.assertGreater(s["publish_s"], 0)
        self.assertGreater(s["wall_s"], s["publish_s"])


if __name__ == "__main__":
    unittest.main()
