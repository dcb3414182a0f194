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

    def operations(self, kind, path="t.json"):
        """Of each its arguments; its end is not before its begin, and on the same thread."""
        with open(self.path(path), encoding="utf-8") as f:
            all_ = [e for e in json.load(f)["traceEvents"] if e["name"] == kind]
        ends = {e["id"]: e for e in all_ if e["ph"] == "e"}
        begins = [e for e in all_ if e["ph"] == "b"]
        self.assertEqual(len(begins), len(ends))
        for e in begins:
            self.assertGreaterEqual(ends[e["id"]]["ts"], e["ts"])
            self.assertEqual(ends[e["id"]]["tid"], e["tid"])
        return [e["args"] for e in begins]

    def test_operations(self):
        self.data("a.f32", n=100000)
        self.data("b.f32", n=50000)
        self.expect(0, "--trace=t.json", "--json=s.json", "-j2", "--merge=never", "-e",
                    COPY.replace("a.f32", "*.f32").replace('"400"', '"4KiB"'))
        reads = self.operations("read")
        self.assertEqual(len(reads), self.summary()["operations"])
        self.assertEqual({a["outcome"] for a in reads}, {"done"})
        self.assertEqual({a["job"] for a in reads}, {1})
        for i, size in enumerate((400000, 200000)):
            of_file = sorted((a["offset"], a["length"]) for a in reads if a["object"] == i)
            self.assertEqual([o for o, _ in of_file], list(range(0, size, 4096)))
            self.assertEqual(sum(n for _, n in of_file), size)

    def test_writes_past_the_page_cache(self):
        self.data(n=1 << 20)
        self.expect(0, "--trace=t.json", "-e", COPY.replace('"400"', '"1MiB"'))
        writes = self.operations("write")
        if not writes:
            self.skipTest("the file system has no direct writes")
        self.assertTrue(all("object" not in a and a["outcome"] == "done" for a in writes), writes)
        at = [(a["offset"], a["length"]) for a in writes]
        self.assertEqual(len(at), len(set(at)))
        self.assertLess(max(o + n for o, n in at), 4096 + (4 << 20) + 1)

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
