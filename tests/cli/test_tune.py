"""--tune: what workers would find out by trying is settled beforehand. Results are the same whatever is pinned,
--json tells of it, and what is wrong is named."""
import itertools
import unittest

import numpy as np

from support import RunnerTest

WORDS = ("auto", "always", "never")
JOB = """local lsio = require "lsio"
return lsio.job { source = lsio.files("a.f32", { chunk = "1MiB" }), type = "f32",
  state = "double sum;", reduce = { sum = "sum" }, OPTIONS
  transform = function(chunk, state) state.sum = state.sum + lsio.k.sum(chunk.data) end,
  done = function(result, info)
    local lend = info.workers[1].tune.lend
    print(("%.0f"):format(result.sum), lend and lend.pinned, lend and lend.verdict)
  end }"""
COPY = """local lsio = require "lsio"
return lsio.job { source = lsio.files("a.f32", { chunk = "1MiB" }), type = "f32",
  sink = lsio.npy("out.npy", { exists = "replace" }) }"""
BYTES = 48 << 20  # more than a comparison of lending takes: 18 MiB, and more in whole chunks


class Tune(RunnerTest):
    def setUp(self):
        super().setUp()
        self.values = self.data(n=BYTES // 4)
        self.sum = "%.0f" % self.values.sum(dtype="f8")

    def run_job(self, *args, **more):
        job = JOB.replace("OPTIONS", more.pop("options", ""))
        r = self.expect(0, "-q", "-j1", "--json=s.json", *args, "-e", job, **more)
        s = self.summary()
        return r.out.split(), s, s["workers"][0]["tune"]

    def test_all_combinations(self):
        for lend, stores, straight in itertools.product(WORDS, repeat=3):
            pins = {"lend": lend, "stores": stores, "straight": straight}
            arg = "--tune=" + ",".join("%s=%s" % (k, v) for k, v in pins.items())
            out, summary, tune = self.run_job(arg)
            self.assertEqual(out[0], self.sum, arg)
            for name, word in pins.items():
                if word != "auto":
                    figure = "waited" if name == "straight" else "cpu_ns_per_byte"
                    self.assertEqual(tune[name], {
                        "verdict": word == "always", "pinned": True, "comparisons": 0,
                        figure: None if name == "straight" else [None, None]}, arg)
                elif name != "lend":
                    self.assertIsNone(tune[name], arg)
            if lend != "auto":
                self.assertEqual(out[1:], ["true", str(lend == "always").lower()], arg)

    def test_lending(self):
        _, summary, tune = self.run_job()
        if tune["lend"] is None:
            self.skipTest("this file system's files are not mapped")
        lend = tune["lend"]
        self.assertEqual((lend["pinned"], lend["comparisons"]), (False, 1))
        a, b = lend["cpu_ns_per_byte"]
        self.assertGreater(min(a, b), 0)
        if abs(b - 0.92 * a) > 1e-5:  # they are rounded
            self.assertEqual(lend["verdict"], b < 0.92 * a)
        self.assertGreater(summary["bytes_direct"], 0)
        for word, direct in (("always", BYTES), ("never", 0)):
            _, summary, tune = self.run_job("--tune=lend=" + word)
            self.assertEqual(summary["bytes_direct"], direct)
        # The backend that maps all leaves no choice, nor do decoders.
        _, summary, tune = self.run_job("--tune=lend=never", "--backend=mapped")
        self.assertEqual((summary["bytes_direct"], tune["lend"]), (BYTES, None))

    def test_copies_are_the_same(self):
        for word in WORDS:
            self.expect(0, "-q", "-j2", "--tune=lend=%s,straight=%s" % (word, word), "-e", COPY)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), self.values)

    def test_where_it_may_come_from(self):
        _, _, tune = self.run_job(env={"LSIO_TUNE": "lend=never"})
        self.assertEqual(tune["lend"]["verdict"], False)
        options = 'options = { tune = "lend=never,stores=always" },'
        _, _, tune = self.run_job(options=options)
        self.assertEqual((tune["lend"]["verdict"], tune["stores"]["verdict"]), (False, True))
        _, _, tune = self.run_job("--tune=lend=always", options=options)  # replaces all of it
        self.assertEqual((tune["lend"]["verdict"], tune["stores"]), (True, None))

    def test_depth(self):
        _, _, tune = self.run_job("--queue-depth=9")
        self.assertEqual(tune["depth"], {"verdict": 9, "pinned": True, "comparisons": 0, "ns_per_byte": [None, None]})

    def test_what_is_wrong_is_named(self):
        for value, words in (
                ("lend", "lend=always,stores=never"), ("lnd=always", "did you mean 'lend'?"),
                ("lend=alway", "did you mean 'always'?"), ("lend=always,", "pairs such as"),
                ("xyzzy=auto", "of lend, stores or straight"), ("lend=maybe", "auto, always or never")):
            r = self.expect(2, "--tune=" + value, "-e", JOB)
            self.assertIn("setting 'tune' must be pairs", r.err)
            self.assertIn(words, r.err)
        r = self.expect(3, "-e", JOB.replace("OPTIONS", 'options = { tune = "lend=maybe" },'))
        self.assertIn("from the script's options", r.err)
        r = self.expect(2, "-e", JOB.replace("OPTIONS", ""), env={"LSIO_TUNE": "stores"})
        self.assertIn("LSIO_TUNE", r.err)


if __name__ == "__main__":
    unittest.main()
