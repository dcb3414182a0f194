"""--step N: one step of a request alone, by the number that messages and --errors give it."""
import json
import os
import unittest

import numpy as np
from support import RunnerTest

JOB = """local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "400" }), type = "f32", %s
  state = "int64_t n;", reduce = { n = "sum" },
  transform = function(chunk, state)
    state.n = state.n + 1
    print(chunk.index, chunk.offset, chunk.random())
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
    if chunk.index == 84 then error("bad weather") end
  end,
  done = function(r, info) print("done", r.n, info.steps) end,
}
"""
NPY = 'sink = lsio.npy("out.npy", { exists = "replace"%s }),'


class Step(RunnerTest):
    def setUp(self):
        super().setUp()
        self.values = self.data(n=10000)

    def job(self, sink=""):
        return self.write("job.lua", JOB % sink)

    def test_alone(self):
        self.write("job.lua", JOB.replace("chunk.out[i] = chunk.data[i]", "") % 'on_error = "skip",')
        r = self.expect(1, "--errors=e.jsonl", "--progress=never", "job.lua")
        with open(self.path("e.jsonl")) as f:
            n = json.loads(f.read())["step"]
        line = [l for l in r.out.splitlines() if l.startswith("%d\t" % n)]
        r = self.expect(1, "--step=%d" % n, "job.lua")
        self.assertEqual(r.out.splitlines(), line + ["done\t0\t0"])  # with the same random numbers
        self.assertIn("a.f32: offset 33600, step 84: job.lua:9: bad weather\n", r.err)
        r = self.expect(0, "--step=83", "--json=s.json", "job.lua")
        self.assertRegex(r.out, r"\A83\t33200\t0\.\d+\ndone\t1\t1\n\Z")
        self.assertEqual(self.summary()["chunks"], 1)
        self.assertIn("1 step", self.expect(0, "--step=83", "--explain", "job.lua").out)
        self.assertEqual(self.expect(1, "job.lua", env={"LSIO_STEP": "84"}).out.split()[0], "84")
        self.assertEqual(len(self.expect(1, "--step=all", "job.lua", env={"LSIO_STEP": "83"}).out.splitlines()), 101)
        self.write("job.lua", JOB.replace("chunk.out[i] = chunk.data[i]", "") % "options = { step = 5 },")
        self.assertEqual(self.expect(0, "job.lua").out.split()[0], "5")

    def test_none_such(self):
        self.write("job.lua", JOB.replace("chunk.out[i] = chunk.data[i]", "") % "")
        for n in "100", "18446744073709551614":
            r = self.expect(2, "--step", n, "job.lua")
            self.assertEqual(r.err, "lsio-lua: error: there is no step %s: the request has 100 steps, 0 to 99\n" % n)
        for n in "-1", "x", "18446744073709551615", "18446744073709551616", "1.5":
            self.assertIn("setting 'step' must be the number of a step", self.expect(2, "--step=" + n, "job.lua").err)
        self.assertEqual(self.expect(2, "--step=1", "-e", (JOB % "").replace('"400"', '"1MiB"')).err,
                         "lsio-lua: error: there is no step 1: the request has 1 step, 0 to 0\n")

    def test_with_shards_and_a_limit(self):
        """A shard's steps have the numbers of the whole request; a limit of how many has nothing to say."""
        self.write("job.lua", JOB.replace("chunk.out[i] = chunk.data[i]", "") % "")
        self.assertEqual(self.expect(0, "--step=30", "--shard=1/4", "job.lua").out.split()[0], "30")
        self.assertEqual(self.expect(0, "--step=30", "--limit=2", "job.lua").out.split()[0], "30")
        self.assertEqual(self.expect(0, "--step=30", "--limit=2", "--shard=1/4", "job.lua").out.split()[0], "30")
        r = self.expect(2, "--step=50", "--shard=1/4", "job.lua")
        self.assertEqual(r.err, "lsio-lua: error: step 50 is not in shard 1/4, which has 25 of 100 steps, 25 to 49; "
                         "leave --shard out, or take the shard that has it\n")
        r = self.expect(2, "--step=100", "--shard=1/4", "job.lua")
        self.assertEqual(r.err, "lsio-lua: error: there is no step 100: the request has 100 steps\n")

    def test_output_of_its_own(self):
        for shape, got in ("", (100,)), (", shape = { 250, 40 }", (100,)), (", shape = { 500, 20 }", (5, 20)), \
                (", shape = { 20, -1, 2 }", (100,)), (", shape = { 10, -1, 5 }", (10, 2, 5)):
            self.job(NPY % shape)
            with open(self.path("out.npy"), "w") as f:
                f.write("the work of a night")
            self.expect(0, "-q", "--step=83", "job.lua")
            out = np.load(self.path("out.step83.npy"))
            self.assertEqual(out.shape, got, shape)
            np.testing.assert_array_equal(out.ravel(), self.values[8300:8400])
            with open(self.path("out.npy")) as f:
                self.assertEqual(f.read(), "the work of a night")
            os.unlink(self.path("out.step83.npy"))
        self.expect(7, "-q", "--step=84", "job.lua")
        self.assertEqual(self.left(), ["a.f32", "job.lua", "out.npy"])

    def test_names_of_outputs(self):
        os.mkdir(self.path("d.e"))
        for path, got in ("out", "out.step3"), ("d.e/out", "d.e/out.step3"), (".out", ".out.step3"), \
                ("a.b.raw", "a.b.step3.raw"), ("o-{shard}.raw", "o-0000-of-0001.step3.raw"):
            self.job('sink = lsio.raw("%s"),' % path)
            self.expect(0, "-q", "--step=3", "job.lua")
            with open(self.path(got), "rb") as f:
                self.assertEqual(f.read(), self.values[300:400].tobytes())
        self.assertIn("a.b.step3.raw", self.expect(6, "--step=3", "-e", JOB % 'sink = lsio.raw("a.b.raw"),').err)

    def test_results_of_any_size(self):
        more = 'out_max = 100, sink = lsio.npy("out.npy", { order = "completed", shape = { 10000 } }),'
        self.write("job.lua", (JOB % more).replace("if chunk.index", "do return 7 end if chunk.index"))
        self.expect(0, "-q", "--step=9", "job.lua")
        np.testing.assert_array_equal(np.load(self.path("out.step9.npy")), self.values[900:907])
        self.assertEqual(np.load(self.path("out.step9.npy.index.npy")).tolist(), [[9, 0, 7]])

    def test_one_of_many_files(self):
        """Of which only the names are known beforehand."""
        os.mkdir(self.path("d"))
        for i in range(1500):
            self.data("d/%04d.f32" % i, n=i)
        job = JOB.replace('"a.f32", { chunk = "400" }', '"d/*", { whole = true }')
        job = job.replace("chunk.out[i] = chunk.data[i]", "").replace("chunk.offset, chunk.random()", "chunk.n")
        r = self.expect(0, "-q", "--step=1234", "-e", job % "")
        self.assertEqual(r.out, "1234\t1234\ndone\t1\t1\n")
        self.assertIn("1500 steps", self.expect(2, "-q", "--step=1500", "-e", job % "").err)


if __name__ == "__main__":
    unittest.main()
