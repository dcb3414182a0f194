"""--deadline: exit code 9 with what each worker was doing; nothing is published, or what has run by then."""
import json
import os
import time
import unittest

import numpy as np

from support import COPY, RunnerTest

SLOW = COPY.replace("type =", """
  state = "double n;", reduce = { n = "sum" }, fill = -1,
  transform = function(chunk, state)
    local t = os.clock()
    while os.clock() - t < 0.005 do end
    state.n = state.n + 1
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  end,
  done = function(r, info) print(r.n, info.steps, info.steps_left, info.exit_code) end, type =""")
ENDLESS = COPY.replace("type =", """
  transform = function(chunk)
    local f = io.open("begun", "w") f:close()
    while true do end
  end, type =""")


class Deadlines(RunnerTest):
    def late(self, *args, least=1):
        """A run whose deadline passes when so many steps have run, as soon as this machine has come so far."""
        self.values = self.data(n=400000)
        for seconds in (0.3, 0.6, 1.2, 2.4, 4.8):
            r = self.run_lsio("--deadline=%g" % seconds, *args)
            too_soon = "while sources were listed" in r.err
            if least:  # a machine so slow that a step of 5 ms takes more than 400 is given another try, too
                too_soon |= "after 0 of" in r.err or "stopping without waiting for" in r.err
            if not too_soon:
                break
            if os.path.exists(self.path("out.npy")):
                os.unlink(self.path("out.npy"))
        self.assertEqual(r.code, 9, r)
        return r

    def test_nothing_is_published(self):
        r = self.late("-j2", "--merge=never", "--json=s.json", "--errors=e.jsonl", "-e", SLOW)
        self.assertRegex(r.err, r"error: the deadline of [\d.]+ m?s has passed after [1-9]\d* of 4,000 steps; worker 0: ")
        self.assertIn("; worker 1: ", r.err)
        self.assertIn("allow more time with --deadline", r.err)
        self.assertEqual(r.out, "")
        self.assertEqual(self.left(), ["a.f32", "e.jsonl", "s.json"])
        s = self.summary()
        self.assertEqual((s["status"], s["exit_code"], s["steps_left"]), ("failed", 9, 0))
        with open(self.path("e.jsonl")) as f:
            errors = [json.loads(line) for line in f]
        self.assertEqual(errors[-1]["code"], "LSIO_ERR_LIMIT")
        self.assertIn("the deadline of", errors[-1]["message"])

    def test_what_has_run_is_published(self):
        for quiet in ([], ["-q"]):
            r = self.late("-j2", "--merge=never", "--on-error=skip", "--json=s.json", "--errors=e.jsonl", *quiet,
                          "-e", SLOW)
            s = self.summary()
            ran, left = s["steps"], s["steps_left"]
            self.assertEqual(ran + left, 4000)
            self.assertGreater(left, 0)
            self.assertEqual(r.out.split(), [str(ran), str(ran), str(left), "9"])
            self.assertEqual((s["status"], s["exit_code"], s["state"]), ("skipped", 9, {"n": ran}))
            self.assertEqual((s["steps_failed"], s["chunks_failed"], s["error_count"]), (left, left, left))
            self.assertIn("worker 0: ", s["at_deadline"])
            self.assertEqual(len(s["errors"]), min(left, 100))
            got = np.load(self.path("out.npy")).reshape(4000, 100)
            there = got[:, 0] != -1
            self.assertEqual(there.sum(), ran)
            np.testing.assert_array_equal(got[there], self.values.reshape(4000, 100)[there])
            self.assertTrue((got[~there] == -1).all())
            with open(self.path("e.jsonl")) as f:
                steps = [json.loads(line)["step"] for line in f]
            self.assertEqual(sorted(steps), list(np.flatnonzero(~there)))
            self.assertIn("left out", r.err)
            if not quiet:
                self.assertIn("stopped at its deadline: ", r.err)
                self.assertIn("the deadline of ", r.err)
            self.assertEqual(self.left(), ["a.f32", "e.jsonl", "out.npy", "s.json"])
            os.unlink(self.path("out.npy"))

    def test_a_worker_that_does_not_return(self):
        """It is interrupted, where LuaJIT can be, or left behind."""
        interrupts = "steps that do not return are interrupted" in self.expect(0, "--doctor").out
        for more in ([], ["--on-error=skip"]):
            begin = time.time()
            r = self.late("-j1", *more, "-e", ENDLESS.replace("type = \"f32\"", "fill = 0, type = \"f32\""), least=0)
            said = " ".join(r.err.split())
            self.assertRegex(said, "worker 0: (transform .*step 0.*a.f32|starting|reading)")
            self.assertEqual("stopping without waiting for" in said, not interrupts)
            self.assertLess(time.time() - begin, 60)
            left = set(self.left()) - {"begun"}
            self.assertEqual(left, {"a.f32", "out.npy"} if interrupts and more else {"a.f32"})
            for name in ("begun", "out.npy"):
                if name in self.left():
                    os.unlink(self.path(name))

    def test_where_it_is_said(self):
        self.data(n=1000)
        script = SLOW.replace("0.005", "0.01").replace("type =", "options = { deadline = %s }, type =")
        self.write("job.lua", script % "'1ms'")
        self.expect(9, "job.lua")
        self.assertEqual(self.left(), ["a.f32", "job.lua"])
        self.expect(0, "--deadline=1h", "job.lua")
        os.unlink(self.path("out.npy"))
        self.env["LSIO_DEADLINE"] = "never"
        self.expect(0, "job.lua")
        os.unlink(self.path("out.npy"))
        self.env["LSIO_DEADLINE"] = "0.001"
        self.write("job.lua", script % 3600)
        self.expect(9, "job.lua")
        self.write("job.lua", script % "'tomorrow'")
        r = self.expect(3, "job.lua")
        self.assertIn("setting 'deadline' (from the script's options) must be a time such as 90s", r.err)
        del self.env["LSIO_DEADLINE"]
        self.write("job.lua", script % 0.001)
        self.expect(9, "job.lua")


if __name__ == "__main__":
    unittest.main()
