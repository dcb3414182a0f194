"""The command line itself: help, versions, wrong options, where a script may come from."""
import json
import os
import re
import unittest

from support import COPY, STATS, RunnerTest


class Options(RunnerTest):
    def test_no_report_replaces_a_script(self):
        job = self.write("job.lua", "local lsio = require 'lsio' return lsio.job { source = lsio.files('a.f32', {}) }")
        self.data()
        for option in ("--json", "--errors", "--trace"):
            for words in ((option, "job.lua", "a.f32"), (option + "=job.lua", "job.lua")):
                r = self.run_lsio(*words)
                self.assertEqual(r.code, 2, r)
                self.assertIn("%s names the file that it writes, and would replace 'job.lua'" % option, r.err)
        with open(job) as f:
            self.assertIn("lsio.files", f.read())

    def test_names_do_not_forge_lines(self):
        self.data("evil\nlsio-lua: done.f32", 1)
        os.truncate(self.path("evil\nlsio-lua: done.f32"), 3)
        r = self.run_lsio("-e", "local lsio = require 'lsio' return lsio.job { type = 'f32',"
                          " source = lsio.files('evil*', { whole = true }), transform = function() end }")
        self.assertEqual(r.code, 8, r)
        self.assertIn("evil?lsio-lua: done.f32", r.err)

    def test_help_teaches(self):
        r = self.expect(0, "--help")
        self.assertEqual(r.err, "")
        self.assertTrue(r.out.startswith("usage: lsio-lua [options] job.lua [parameters]\n"))
        for name in ("workers", "memory", "queue-depth", "backend", "direct", "merge", "limit",
                     "shard", "step", "replace", "explain", "json", "errors", "trace", "progress", "on-error", "pin", "priority", "tune", "deadline",
                     "version", "doctor", "help"):
            self.assertIn("--" + name, r.out)
        for word in ("-j,", "-e CODE", "Exit codes: 0 done", "LSIO_WORKERS", "powers of 1024"):
            self.assertIn(word, r.out)
        self.assertLessEqual(max(map(len, r.out.splitlines())), 100)
        self.assertEqual(self.expect(0, "-h").out, r.out)

    def test_help_of_a_script(self):
        self.write("job.lua", STATS)
        r = self.expect(0, "--help", "job.lua")
        for word in ("--threshold", "count values above this", "0.5", "--label"):
            self.assertIn(word, r.out)
        self.assertEqual(self.expect(0, "job.lua", "--help").out, r.out)
        self.expect(3, "--help", "none.lua")

    def test_version_and_doctor(self):
        r = self.expect(0, "--version")
        self.assertRegex(r.out, r"\Alsio-lua \d+\.\d+\.\d+\nbuilt with LuaJIT .*liburing \d")
        r = self.expect(0, "--doctor")
        for word in ("LSIO", "kernels", "backend pread: works", "backend uring", "LuaJIT"):
            self.assertIn(word, r.out)
        tried, found = re.search(r"known defects of LuaJIT: (\d+) tried, (\d+) found", r.out).groups()
        self.assertGreaterEqual(int(tried), 10)
        if "beta" not in r.out:
            self.assertEqual(found, "0", r.out)
        elif self.env.get("LSIO_JIT") != "off":  # Debian 12's
            for word in ("uint64_t", "#t is stale", "64-bit shifts", "set twice", "called wrongly"):
                self.assertIn(word, r.out)

    def test_wrong_options(self):
        for args, words in (
                ([], "no job script"),
                (["--wrokers", "3", "job.lua"], "did you mean --workers?"),
                (["--xyzzy", "job.lua"], "unknown option '--xyzzy'"),
                (["-x", "job.lua"], "unknown option '-x'"),
                (["-j"], "needs a value"),
                (["--json="], "empty value"),
                (["--replace="], "empty value: it takes yes|no"),
                (["--quiet=1", "job.lua"], "takes no value"),
                (["--explain=xml", "job.lua"], "text or json"),
                (["--progress=maybe", "job.lua"], "auto, always or never"),
                (["--workers=0", "job.lua"], "'workers' must be a whole number"),
                (["--memory=lots", "job.lua"], "'memory' must be a size"),
                (["--backend=ring", "job.lua"], "uring"),
                (["--merge=some", "job.lua"], "auto, never"),
                (["--shard=4/4", "job.lua"], "0 <= I < N"),
                (["--on-error=ignore", "job.lua"], "fail or skip"),
                (["--limit=none", "job.lua"], "'limit'"),
                (["--deadline=soon", "job.lua"], "90s, 5m, 1h or 500ms"),
                (["--priority=backgrund", "job.lua"], "did you mean 'background'?"),
                (["job.lua", "--thresh", "1"], "threshold"),
                (["job.lua", "--threshold", "much"], "threshold")):
            self.write("job.lua", STATS)
            self.data()
            r = self.run_lsio(*args)
            self.assertEqual(r.code, 2, (args, r))
            self.assertIn(words, r.err, args)
            self.assertEqual(r.out, "", args)

    def test_options_behind_the_script(self):
        """They belong to the script. Where it has none of that name, the answer says where to write them."""
        self.data()
        for job in STATS, STATS.replace("params =", "params = {} or"):  # with parameters and without
            self.write("job.lua", job)
            for args, right in (
                    (["--workers", "2"], "--workers 2 job.lua"), (["--workers=2"], "--workers=2 job.lua"),
                    (["-j2"], "-j2 job.lua"), (["-j", "2"], "-j 2 job.lua"), (["-q"], "-q job.lua"),
                    (["--quiet"], "--quiet job.lua"), (["--replace"], "--replace job.lua"),
                    (["--errors", "e.jsonl"], "--errors e.jsonl job.lua"), (["--workers"], "--workers job.lua"),
                    (["--explain=json", "x"], "--explain=json job.lua ..."),
                    (["--on-error", "skip", "x"], "--on-error skip job.lua ...")):
                r = self.expect(2, "job.lua", *args)
                name = right.split()[0].split("=")[0][:None if "--" in right else 2]
                self.assertRegex(r.err, r"\Alsio-lua: error: [^\n]*unknown (parameter|option) [^\n]*\n"
                                 "lsio-lua: %s is an option of lsio-lua, and those stand before the script: "
                                 "lsio-lua %s\n\\Z" % (name, right.replace(".", r"\.")))
                self.assertEqual(self.left(), ["a.f32", "job.lua"])
        r = self.expect(2, "-e", STATS, "--limit=3")
        self.assertIn("lsio-lua --limit=3 -e CODE\n", r.err)
        # Not of the script's own, of others, or of what stands behind "--".
        for args in ["--threshold=x"], ["--treshold=1", "--workers=2"], ["--lim=2"], ["-x"]:
            self.assertNotIn("is an option of lsio-lua", self.expect(2, "job.lua", *args).err)
        job = STATS.replace("threshold", "limit")
        self.assertNotIn("is an option", self.expect(2, "-e", job, "--limit=x").err)
        self.expect(0, "-e", job, "--limit=3")

    def test_an_option_is_no_value(self):
        self.data()
        self.write("job.lua", STATS)
        for args in (["--json", "--errors"], ["--errors", "--progress=never"], ["--json", "-q"], ["-j", "-q"],
                     ["--limit", "--step=3"], ["--json", "-j4"], ["--trace", "--unheard-of"], ["--json", "-e"],
                     ["--json", "--"], ["--memory", "-h"]):
            r = self.expect(2, *args, "job.lua")
            self.assertRegex(r.err, r"\Alsio-lua: %s needs a value: \w+; %s, which follows, is an option \(if it is meant "
                             r"as the value: --[a-z]+=%s\)\n\Z" % (args[0], args[1], args[1]))
            self.assertEqual((r.out, self.left()), ("", ["a.f32", "job.lua"]))
        self.expect(0, "-q", "--json=--errors", "job.lua")
        self.assertEqual(self.left(), ["--errors", "a.f32", "job.lua"])
        self.expect(0, "-q", "--json", "-", "job.lua")
        self.expect(0, "-q", "--json", "-s.json", "job.lua")
        self.assertIn("must be a size", self.expect(2, "--memory", "-5", "job.lua").err)

    def test_environment(self):
        self.write("job.lua", STATS)
        self.data()
        r = self.expect(2, "job.lua", env={"LSIO_WORKERS": "many"})
        self.assertIn("LSIO_WORKERS", r.err)
        r = self.expect(2, "job.lua", env={"LSIO_PROGRESS": "much"})
        self.assertIn("LSIO_PROGRESS", r.err)
        self.expect(0, "job.lua", env={"LSIO_WORKERS": "1", "LSIO_JSON": "s.json"})
        self.assertEqual(len(self.summary()["workers"]), 1)
        # A flag wins over a variable, a variable over the script's options.
        self.expect(0, "--limit=2", "job.lua", env={"LSIO_LIMIT": "3", "LSIO_JSON": "s.json"})
        self.assertEqual(self.summary()["chunks"], 2)
        self.write("job.lua", STATS.replace("type =", "options = { limit = 4 }, type ="))
        self.expect(0, "--json=s.json", "job.lua")
        self.assertEqual(self.summary()["chunks"], 4)
        self.expect(0, "--json=s.json", "job.lua", env={"LSIO_LIMIT": "3"})
        self.assertEqual(self.summary()["chunks"], 3)

    def test_settings_of_a_context(self):
        """Workers, memory and backend of the runner's context are those of its job, whoever says them."""
        self.data(n=4000)
        more = "options = { workers = 5, memory = '3GiB', backend = 'pread', merge = 'never' }, type ="
        self.write("job.lua", STATS.replace("type =", more))

        def planned(*args, **more):
            r = self.expect(0, "--explain=json", *args, **more)
            self.assertEqual(r.err, "")
            plan = json.loads(r.out)
            return plan["workers"], plan["memory"] >> 20, plan["backend"]

        self.assertEqual(planned("job.lua"), (5, 3071, "pread"))  # 5 equal shares of 3 GiB
        env = {"LSIO_WORKERS": "4", "LSIO_MEMORY": "2GiB"}
        self.assertEqual(planned("job.lua", env=env), (4, 2048, "pread"))
        self.assertEqual(planned("-j2", "--memory=1.5GiB", "job.lua", env=env), (2, 1536, "pread"))
        self.assertEqual(planned("--backend=mapped", "job.lua", env=dict(env, LSIO_BACKEND="uring")),
                         (4, 2048, "mapped"))
        r = self.expect(0, "--json=s.json", "job.lua", env=env)
        self.assertNotIn("warning", r.err)
        self.assertEqual(len(self.summary()["workers"]), 4)
        self.assertEqual(self.summary()["backend"], "pread")

    def test_priority(self):
        """Alone, a job in the background runs as any other."""
        values = self.data(n=4000)
        expected = "result %d %d %d\n" % (values.sum(), (values > 0.5).sum(), values.size)
        self.write("job.lua", STATS)
        self.write("back.lua", STATS.replace("type =", "options = { priority = 'background' }, type ="))
        self.write("wrong.lua", STATS.replace("type =", "options = { priority = 'high' }, type ="))
        self.assertEqual(self.expect(0, "--priority=background", "job.lua").out, expected)
        self.assertEqual(self.expect(0, "job.lua", env={"LSIO_PRIORITY": "background"}).out, expected)
        self.assertEqual(self.expect(0, "back.lua").out, expected)
        r = self.expect(2, "job.lua", env={"LSIO_PRIORITY": "high"})
        self.assertIn("setting 'priority' (from LSIO_PRIORITY) must be normal or background, not 'high'", r.err)
        r = self.expect(3, "wrong.lua")
        self.assertIn("setting 'priority' (from the script's options) must be normal or background", r.err)

    def test_where_a_script_comes_from(self):
        values = self.data()
        expected = "result %d %d %d\n" % (values.sum(), (values > 0.5).sum(), values.size)
        self.write("job.lua", STATS)
        self.assertEqual(self.expect(0, "job.lua").out, expected)
        self.assertEqual(self.expect(0, "-", input=STATS).out, expected)
        self.assertEqual(self.expect(0, "-e", STATS).out, expected)
        self.assertEqual(self.expect(0, "-j2", "-q", "-e" + STATS).out, expected)
        self.assertEqual(self.expect(0, "-q", "--", "job.lua").out, expected)
        self.write("bang.lua", "#!/usr/bin/env lsio-lua\n" + STATS)
        self.assertEqual(self.expect(0, "bang.lua").out, expected)
        self.write("bom.lua", "\ufeff" + STATS)
        self.assertEqual(self.expect(0, "bom.lua").out, expected)
        os.rename(self.path("job.lua"), self.path("-job.lua"))
        self.assertEqual(self.expect(0, "--", "-job.lua").out, expected)

    def test_params(self):
        values = self.data()
        self.write("job.lua", STATS)
        above = (values > 100).sum()
        for args in (["--threshold", "100"], ["--threshold=100"]):
            self.assertIn(" %d " % above, self.expect(0, "job.lua", *args).out)
            self.assertIn(" %d " % above, self.expect(0, "-e", STATS, *args).out)
        words = STATS.replace('"result"', "table.concat(WORDS, '+')").replace(
            "local lsio", "WORDS = nil local lsio", 1)
        self.assertIn("WORDS", self.expect(3, "-e", words).err)  # a write to a global
        job = COPY.replace("type =", "setup = function(p) print(p[1], p[2]) end, type =")
        self.assertEqual(self.expect(0, "-e", job, "x", "y z").out, "x\ty z\n")

    def test_script_that_does_not_load(self):
        self.data()
        for text, words in (
                ("return 1 +", "job.lua:1"),
                ("local a = 1\nerror('oh')", "job.lua:2: oh"),
                ("return 7", "lsio.job"),
                ("return require'lsio'.job { soruce = 1 }", "source"),
                (STATS.replace('"f32"', '"f33"'), "f33"),
                (STATS.replace("state =", "stat ="), "state"),
                (STATS.replace("local lsio", "x = 1 local lsio", 1), "x"),
                ("\x1bLJ\x02\x00", "")):
            self.write("job.lua", text)
            r = self.expect(3, "job.lua")
            self.assertIn("job.lua", r.err)
            self.assertIn(words, r.err)
        self.assertIn("No such file", self.expect(3, "none.lua").err)
        self.assertIn("directory", self.expect(3, self.dir).err)


if __name__ == "__main__":
    unittest.main()
