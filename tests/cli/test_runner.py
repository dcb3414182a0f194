"""Runs of jobs: results, summaries, plans, parts of a request, failures and their exit codes."""
import json
import os
import re
import unittest

import numpy as np

from support import COPY, SOURCE, STATS, RunnerTest

FAILS_AT_3 = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "400" }),
  type = "f32", state = "double n;", reduce = { n = "sum" },
  transform = function(chunk, state)
    state.n = state.n + 1
    if chunk.index == 3 then error("bad weather") end
  end,
  done = function(r) print(r.n) end,
}
"""


class Runs(RunnerTest):
    def test_refused_results_leave_no_state(self):
        """Under skip, a step whose result can't be taken is undone like one that fails by itself."""
        self.data(n=1000)
        r = self.expect(1, "-j2", "--on-error=skip", "--json=s.json", "-e", """local lsio = require "lsio"
            return lsio.job { source = lsio.files("a.f32", { chunk = 400 }), type = "f32",
              state = "double n;", reduce = { n = "sum" },
              transform = function(chunk, state)
                state.n = state.n + 1
                if chunk.index % 2 == 1 then return "text" end
              end }""")
        self.assertIn("the job has no stream to take it", r.err)
        s = self.summary()
        self.assertEqual((s["steps"], s["steps_failed"], s["state"]), (5, 5, {"n": 5}))

    def test_summary_fields(self):
        values = self.data()
        self.write("job.lua", STATS)
        self.expect(0, "-j2", "--json=s.json", "job.lua")
        s = self.summary()
        for key in ("status exit_code chunks chunks_failed operations bytes_requested bytes_read "
                    "bytes_decoded bytes_delivered bytes_copied bytes_written bytes_direct wall_s cpu_s "
                    "peak_memory backend bound workers state errors").split():
            self.assertIn(key, s)
        self.assertEqual((s["status"], s["exit_code"]), ("done", 0))
        self.assertEqual((s["chunks"], s["chunks_failed"]), (10, 0))
        self.assertEqual(s["bytes_requested"], 4000)
        self.assertGreaterEqual(s["bytes_read"], 4000)
        self.assertGreaterEqual(s["operations"], 1)
        self.assertIn(s["backend"], ("uring", "pread"))
        self.assertIn(s["bound"], ("device", "decode", "transform", "sink", "latency"))
        self.assertEqual(sum(w["steps"] for w in s["workers"]), 10)
        for w in s["workers"]:
            self.assertGreaterEqual(w["wait_s"] + w["decode_s"] + w["transform_s"] + w["place_s"], 0)
        self.assertEqual(s["state"]["sum"], float(values.sum()))
        self.assertEqual(s["state"]["n"], 1000)
        self.assertEqual(s["errors"], [])
        self.assertGreater(s["peak_memory"], 0)
        self.assertEqual(self.left(), ["a.f32", "job.lua", "s.json"])

    def test_json_on_stdout_follows_the_job(self):
        self.data()
        r = self.expect(0, "--json=-", "-e", STATS)
        first, rest = r.out.split("\n", 1)
        self.assertTrue(first.startswith("result "))
        self.assertEqual(json.loads(rest)["status"], "done")

    def test_text_summary(self):
        self.data()
        r = self.expect(0, "-e", STATS)
        self.assertRegex(r.err, r"done: 10 steps, 3\.91 KiB read \(.* [KMG]iB/s\)")
        self.assertIn("bound by", r.err)
        self.assertEqual(self.expect(0, "--quiet", "-e", STATS).err, "")
        self.assertEqual(self.expect(0, "--progress=never", "-e", STATS).err, "")

    def test_explain(self):
        self.data()
        job = COPY.replace("type =", "done = function() print('ran') end, type =")
        r = self.expect(0, "--explain=json", "-e", job)
        plan = json.loads(r.out)
        for key in ("chunks operations merged split bytes_requested bytes_planned bytes_over_read "
                    "memory expected_s bound devices").split():
            self.assertIn(key, plan)
        self.assertEqual((plan["chunks"], plan["operations"]), (10, 1))
        self.assertEqual(plan["bytes_requested"], 4000)
        never = json.loads(self.expect(0, "--explain=json", "--merge=never", "-e", job).out)
        self.assertEqual(never["operations"], 10)
        r = self.expect(0, "--explain", "-e", job)
        self.assertNotIn("ran", r.out)
        self.assertIn("10 ", r.out)
        self.assertEqual(self.left(), ["a.f32"])  # nothing was read, nothing was written

    def test_copy_to_npy(self):
        values = self.data(n=12345)
        self.write("job.lua", COPY)
        for backend in ("auto", "pread", "mapped"):
            self.expect(0, "--backend=" + backend, "-j3", "--json=s.json", "job.lua")
            np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
            self.assertEqual(self.summary()["bytes_written"], values.nbytes)
            os.unlink(self.path("out.npy"))

    def test_paths_on_standard_input(self):
        values = np.concatenate([self.data("b.f32", 50), self.data("c d.f32", 70)])
        job = COPY.replace('lsio.files("a.f32", { chunk = "400" })', 'lsio.list("-")')
        self.expect(0, "-e", job, input="b.f32\nc d.f32\n")
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
        r = self.expect(4, "-e", job.replace("out.npy", "x.npy"), input="none.f32\n")
        self.assertIn("none.f32", r.err)

    def test_limit(self):
        values = self.data()
        self.expect(0, "--limit=3", "-e", COPY)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values[:300])

    def test_shards(self):
        values = self.data()
        r = self.expect(2, "--shard=0/3", "-e", COPY)
        self.assertIn("{shard}", r.err)
        job = COPY.replace("out.npy", "out-{shard}.npy")
        parts = []
        for i in range(3):
            self.expect(0, "--shard=%d/3" % i, "-e", job)
            parts.append(np.load(self.path("out-%04d-of-0003.npy" % i)))
        self.assertEqual([p.size for p in parts], [300, 300, 400])
        np.testing.assert_array_equal(np.concatenate(parts), values)

    def test_variable_results_in_order(self):
        values = self.data(n=20000)
        job = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "400" }), type = "f32", out_max = 100,
  sink = lsio.npy("out.npy"),
  transform = function(chunk)
    local k = 0
    for i = 0, chunk.n - 1 do
      if chunk.data[i] % 3 == 0 then chunk.out[k] = chunk.data[i]; k = k + 1 end
    end
    return k
  end,
}
"""
        self.expect(0, "-j4", "--json=s.json", "-e", job)
        expected = values[values % 3 == 0]
        self.assertEqual(self.summary()["bytes_written"], expected.nbytes)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), expected)
        os.unlink(self.path("out.npy"))
        self.expect(0, "-j4", "-e", job.replace('"out.npy"', '"out.npy", { order = "completed" }'))
        got, index = np.load(self.path("out.npy")), np.load(self.path("out.npy.index.npy"))
        self.assertEqual((index.dtype, index.shape), (np.dtype("<i8"), (200, 3)))
        index = index[index[:, 0].argsort()]
        np.testing.assert_array_equal(index[:, 0], np.arange(200))
        again = np.concatenate([got[o:o + n] for _, o, n in index])
        np.testing.assert_array_equal(again, expected)


class Failures(RunnerTest):
    def test_transform_error_ends_the_job(self):
        self.data()
        self.write("job.lua", FAILS_AT_3.replace("type =", 'sink = lsio.npy("o.npy"), type =')
                   .replace("  transform", "  out_max = 0, transform")
                   .replace('error("bad weather") end', 'error("bad weather") end return 0'))
        r = self.expect(7, "--json=s.json", "--errors=e.jsonl", "job.lua")
        for word in ("job.lua:8: bad weather", "a.f32", "offset 1200", "step 3"):
            self.assertIn(word, r.err)
        self.assertEqual(r.out, "")
        s = self.summary()
        self.assertEqual((s["status"], s["exit_code"]), ("failed", 7))
        with open(self.path("e.jsonl")) as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual(len(lines), 1)
        self.assertEqual(lines[0]["code"], "LSIO_ERR_TRANSFORM")
        self.assertEqual((lines[0]["step"], lines[0]["offset"]), (3, 1200))
        self.assertEqual(self.left(), ["a.f32", "e.jsonl", "job.lua", "s.json"])

    def test_skip(self):
        self.data()
        self.write("job.lua", FAILS_AT_3)
        r = self.expect(1, "--on-error=skip", "--json=s.json", "--errors=e.jsonl", "job.lua")
        self.assertEqual(r.out, "9\n")  # its state was put back
        self.assertIn("1 step failed and was left out (transform)\n", r.err)
        self.assertNotIn("bad weather", r.err)  # where it stands is enough
        s = self.summary()
        self.assertEqual((s["status"], s["exit_code"], s["chunks_failed"]), ("skipped", 1, 1))
        self.assertEqual(len(s["errors"]), 1)
        self.assertEqual(s["errors"][0]["step"], 3)
        with open(self.path("e.jsonl")) as f:
            line = json.loads(f.read())
        self.assertTrue(line["object"].endswith("a.f32"))
        self.assertIn("job.lua:8: bad weather", line["message"])
        self.assertEqual((line["offset"], line["length"]), (1200, 400))
        r = self.expect(1, "--on-error=skip", "--quiet", "job.lua")
        self.assertIn("1 step", r.err)

    def test_lines_of_errors_are_those_of_the_summary(self):
        for name, shown in ((b"a\xff\xc3\xa9.f32", "a\\xFF\xe9.f32"), (b"\xc3\xa9.f32", "\xe9.f32")):
            with open(os.path.join(self.dir.encode(), name), "wb") as f:
                f.write(bytes(2000))
            job = FAILS_AT_3.replace("a.f32", "*.f32")
            self.expect(1, "--on-error=skip", "--json=s.json", "--errors=e.jsonl", "-e", job)
            with open(self.path("e.jsonl"), encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
            self.assertEqual(lines, self.summary()["errors"])
            self.assertEqual(lines[0]["object"], shown)
            # What ends a job before it has begun is the same in both, too.
            self.expect(3, "--json=s.json", "--errors=e.jsonl", "-e", "error 'early'")
            with open(self.path("e.jsonl"), encoding="utf-8") as f:
                self.assertEqual([json.loads(line) for line in f], self.summary()["errors"])
            os.remove(os.path.join(self.dir.encode(), name))

    def test_figures_have_one_name(self):
        """The info of done, the summary, and the summary of a job that never began."""
        self.data()
        job = FAILS_AT_3.replace("done = function(r)", """done = function(r, info)
    for key, v in pairs(info) do print(key, v) end
    for key, v in pairs(info.workers[1]) do print("worker." .. key, v) end
    for key, v in pairs(info.errors[1]) do print("error." .. key, v) end
    r = { n = "n" }""")
        out = self.expect(1, "-j1", "--on-error=skip", "--json=s.json", "-e", job).out
        info = dict(line.split("\t") for line in out.splitlines() if "\t" in line)
        s = self.summary()
        figures = dict(s)
        figures.update(("worker." + key, v) for key, v in s["workers"][0].items())
        figures.update(("error." + key, v) for key, v in s["errors"][0].items())
        for key in "state", "state_nonfinite", "state_error", "reduce":  # done has it itself
            del figures[key]
        self.assertEqual(sorted(info), sorted(figures))
        figures["total_s"] -= figures["done_s"]  # which was to come
        figures["done_s"] = 0.0
        for key, v in figures.items():
            if isinstance(v, int):
                self.assertEqual(int(info[key]), v, key)
            elif isinstance(v, float):
                self.assertAlmostEqual(float(info[key]), v, 5, key)
            elif isinstance(v, str):
                self.assertEqual(info[key], v, key)
        self.assertEqual(figures["error_count"], 1)
        with open(os.path.join(SOURCE, "lua", "types", "lsio.lua")) as f:  # what editors are told
            types = f.read()

        def fields(name):
            text = re.search("---@class lsio.%s\n(.*?)\n\n" % name, types, re.S).group(1)
            return set(re.findall(r"^---@field (\w+)", text, re.M))
        self.assertEqual(fields("info"), set(info) - {k for k in info if "." in k})
        self.assertEqual(fields("worker_info"), set(s["workers"][0]))
        self.assertEqual(fields("step_error"), set(s["errors"][0]))
        self.expect(3, "--json=s.json", "-e", "error 'early'")
        self.assertEqual(sorted(self.summary()), sorted(s))

    def test_skip_fills_its_place(self):
        values = self.data().copy()
        job = COPY.replace("type =", """on_error = "skip", fill = -1,
  transform = function(chunk)
    if chunk.index == 3 then error("no") end
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  end, type =""")
        self.expect(1, "-e", job)
        values[300:400] = -1
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)

    def test_missing_source(self):
        r = self.expect(4, "--json=s.json", "-e", COPY)
        self.assertIn("a.f32", r.err)
        self.assertEqual(self.summary()["exit_code"], 4)
        self.assertIn("a.f32", self.summary()["errors"][0]["message"])
        r = self.expect(4, "-e", STATS)
        self.assertIn("*.f32", r.err)
        self.assertEqual(self.left(), ["s.json"])

    def changing(self, what):
        """A job whose first step does `what` to its source."""
        self.data(n=1 << 20)
        return COPY.replace('"400"', '"4KiB"').replace("type =", """
  transform = function(chunk)
    if chunk.index == 0 then %s end
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  end, type =""" % what)

    def test_truncated_source(self):
        r = self.expect(4, "-j1", "-e", self.changing('os.execute("truncate -s 5000 a.f32")'))
        self.assertIn("a.f32", r.err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_replaced_source(self):
        # Between planning and opening: another file has the name now.
        values = self.data(n=1 << 20)
        self.data("b", n=1 << 20)
        job = COPY.replace("type =", """init = function() os.rename("b", "a.f32") end,
          transform = function(chunk) end, type =""")
        r = self.expect(4, "-j1", "-e", job)
        self.assertIn("a.f32", r.err)
        self.assertEqual(self.left(), ["a.f32"])
        # While it is being read: an error, or what planning saw and nothing else.
        np.zeros(1 << 20, "<f4").tofile(self.path("b"))
        r = self.run_lsio("-j1", "-e", self.changing('os.rename("b", "a.f32")'))
        if r.code == 0:
            np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
        else:
            self.assertEqual(r.code, 4, r)
            self.assertEqual(self.left(), ["a.f32"])

    def test_overwritten_source(self):
        r = self.expect(4, "-j1", "-e", self.changing('os.execute("printf x >> a.f32")'))
        self.assertIn("a.f32", r.err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_corrupt_data(self):
        with open(self.path("a.f32"), "wb") as f:
            f.write(b"no lz4 frame at all")
        r = self.expect(8, "-e", COPY.replace("type =", 'codec = "lz4", type ='))
        for word in ("a.f32", "step 0"):
            self.assertIn(word, r.err)
        self.data(n=10)
        with open(self.path("a.f32"), "ab") as f:
            f.write(b"xyz")  # no whole number of elements
        r = self.expect(8, "-e", COPY)
        self.assertIn("a.f32", r.err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_memory_limit(self):
        self.data(n=8 << 20)
        r = self.expect(9, "--memory=1MiB", "-e", COPY.replace('chunk = "400"', "whole = true"))
        self.assertIn("memory", r.err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_done_and_setup_errors(self):
        self.data()
        self.write("job.lua", COPY.replace("type =", "setup = function() error('early') end, type ="))
        r = self.expect(3, "job.lua")  # nothing has run yet: the script is what is wrong
        self.assertIn("job.lua:5: early", r.err)
        self.assertEqual(self.left(), ["a.f32", "job.lua"])
        self.write("job.lua", COPY.replace("type =", "done = function() error('late') end, type ="))
        r = self.expect(7, "--json=s.json", "job.lua")
        self.assertIn("job.lua:5: late", r.err)
        self.assertEqual(self.summary()["status"], "failed")
        self.assertIn("out.npy", self.left())  # it has its name before `done` is called


if __name__ == "__main__":
    unittest.main()
