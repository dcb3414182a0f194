"""--trace: what each thread did, for the viewers of Chrome and Perfetto."""
import json
import os
import unittest

from support import COPY, RunnerTest

FAILS = """
local lsio = require "lsio"
return lsio.job { source = lsio.files("a.f32", { chunk = "4KiB" }), type = "f32",
  transform = function(chunk) if chunk.index == 5 then error("no") end end }
"""


class Trace(RunnerTest):
    def events(self, path="t.json"):
        with open(self.path(path), encoding="utf-8") as f:
            all_ = json.load(f)["traceEvents"]
        threads = {e["tid"]: e["args"]["name"] for e in all_ if e["name"] == "thread_name"}
        return threads, [e for e in all_ if e["ph"] == "X"]

    def test_says_what_threads_did(self):
        self.data(n=200000)
        self.expect(0, "--trace=t.json", "-j2", "--merge=never", "-e", COPY)
        threads, events = self.events()
        self.assertIn("coordinator", threads.values())
        kinds = {}
        for e in events:
            self.assertGreaterEqual(e["dur"], 0)
            self.assertGreaterEqual(e["ts"], 0)
            kinds.setdefault(e["name"], []).append(e)
        for kind in ("list", "plan", "open", "place", "publish"):
            self.assertIn(kind, kinds)
        steps = [e["args"]["step"] for e in kinds["place"]]
        self.assertEqual(len(steps), len(set(steps)))  # each step once
        workers = {threads[e["tid"]] for e in kinds["place"]}
        self.assertTrue(workers <= {"lsio-0", "lsio-1"}, workers)
        self.assertEqual({threads[e["tid"]] for e in kinds["publish"]}, {"coordinator"})

    def test_variable_and_failed_job(self):
        self.data(n=200000)
        self.expect(7, "-e", FAILS, env={"LSIO_TRACE": "t.json"})
        self.assertTrue(any(e["name"] == "transform" for e in self.events()[1]))

    def test_wrong_path(self):
        self.data(n=1000)
        r = self.expect(6, "--trace=none/t.json", "-e", COPY)
        self.assertIn("none/t.json", r.err)
        self.assertTrue(os.path.exists(self.path("out.npy")))  # the job itself was well


if __name__ == "__main__":
    unittest.main()
