"""`lsio-lua job.lua | head -1`: nobody reads standard output any more. The job stops, nothing is left behind, no
word is said, and the exit code is 141, as of a program that SIGPIPE ends."""
import json
import os
import subprocess
import unittest

from support import COPY, RUNNER, STATS, RunnerTest

# Ends by itself only after many minutes. Its output has places for all of it.
LONG = """local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "40" }), type = "f32", sink = lsio.npy "out.npy", fill = 0,
  on_error = "%s",
  transform = function(chunk)
    local sum = 0
    for i = 1, 1e7 do sum = sum + i end
    %s
    chunk.out[0] = sum
  end,
}
"""
PRINTS = "print(chunk.index, sum)"
WRITES = 'io.write(chunk.index, "\\n") io.flush()'  # whether that fails is not looked at


class NoReader(RunnerTest):
    def setUp(self):
        super().setUp()
        self.data(n=100000)

    def without_reader(self, *args):
        """stdout is a pipe whose other end is closed."""
        there, here = os.pipe()
        os.close(there)
        try:
            return self.run_lsio(*args, stdout=here)
        finally:
            os.close(here)

    def ends_quietly(self, *args, left=("a.f32",)):
        r = self.without_reader(*args)
        self.assertEqual((r.code, r.err), (141, ""), args)
        self.assertEqual(self.left(), sorted(left))

    def test_head(self):
        self.write("job.lua", LONG % ("fail", PRINTS))
        p = subprocess.run(["bash", "-c", '"%s" -j2 job.lua | head -1; echo ${PIPESTATUS[0]}' % RUNNER], cwd=self.dir,
                           env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertRegex(p.stdout.decode(), r"\A\d+\t\S+\n141\n\Z")
        self.assertEqual(p.stderr, b"")
        self.assertEqual(self.left(), ["a.f32", "job.lua"])

    def test_workers_that_write(self):
        for on_error in "fail", "skip":
            for writes in PRINTS, WRITES, "pcall(print, sum)":
                self.ends_quietly("-j2", "-e", LONG % (on_error, writes))

    def test_a_worker_that_does_not_return(self):
        self.ends_quietly("-j2", "-e", LONG % ("skip", "pcall(print, sum) while true do end"))

    def test_failures_so_far_publish_nothing(self):
        """Its steps have all failed before anybody could stop it."""
        job = LONG.replace('chunk = "40"', "whole = true").replace("1e7", "1") % ("skip", PRINTS)
        for _ in range(20):
            self.ends_quietly("-e", job)

    def test_the_script_itself(self):
        self.ends_quietly("-e", COPY.replace("type =", "setup = function() print 'x' end, type ="))
        self.ends_quietly("-e", "print 'x' " + COPY)
        self.ends_quietly("-e", STATS)  # done prints
        endless = 'done = function() while true do io.write "x\\n" end end, type ='
        self.ends_quietly("-e", COPY.replace("type =", endless), left=("a.f32", "out.npy"))

    def test_the_runner_itself(self):
        quiet = STATS.replace("print(", "tostring(")
        for args in (["--json=-", "-e", quiet], ["--explain", "-e", quiet], ["--explain=json", "-e", quiet],
                     ["--help"], ["--help", "-e", quiet], ["--version"], ["--doctor"]):
            r = self.without_reader("-q", *args)
            self.assertEqual((r.code, r.err), (141, ""), args)

    def test_what_has_failed_otherwise(self):
        """Says so, and has its own code."""
        r = self.without_reader("--json=-", "-e", COPY.replace("a.f32", "b.f32"))
        self.assertEqual(r.code, 4)
        self.assertIn("b.f32", r.err)
        self.assertNotIn("standard output", r.err)

    def test_another_pipe(self):
        """A program that a script writes to ends: that is the script's own business."""
        job = STATS.replace("print(", """local f = io.popen("true", "w")
    os.execute("sleep 0.2") f:write(("x"):rep(1e6)) f:close() print(""")
        r = self.expect(0, "-e", job)
        self.assertIn("result", r.out)

    def test_files_of_the_runner(self):
        self.ends_quietly("--json=s.json", "--errors=e.jsonl", "-e", STATS, left=("a.f32", "e.jsonl", "s.json"))
        self.assertEqual(self.summary()["status"], "failed")
        r = self.without_reader("--json=s.json", "--errors=e.jsonl", "-e", LONG % ("skip", PRINTS))
        self.assertEqual((r.code, r.err), (141, ""))
        self.assertEqual(self.left(), ["a.f32", "e.jsonl", "s.json"])  # the old one, if it is left in a hurry
        with open(self.path("e.jsonl")) as f:
            for line in f:
                json.loads(line)


if __name__ == "__main__":
    unittest.main()
