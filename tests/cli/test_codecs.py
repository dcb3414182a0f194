"""Frames as the tools `zstd` and `lz4` write them, with their rarer options."""
import bz2
import os
import gzip
import json
import shutil
import subprocess
import unittest
import zlib

import numpy as np

from support import RunnerTest

SUM = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.in", { whole = true }), type = "u8", codec = "%s", %s
  state = "double sum, n, calls;", reduce = { sum = "sum", n = "sum", calls = "sum" },
  transform = function(chunk, state)
    state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)
    state.n = state.n + chunk.n
    state.calls = state.calls + 1
  end,
  done = function(r) print(("%%.0f %%d %%d"):format(r.sum, r.n, r.calls)) end,
}
"""
MAP = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.in", { whole = true }), type = "f32", codec = "zstd", piece = %s,
  sink = lsio.npy("out.npy", { exists = "replace" }),
  transform = function(chunk)
    for i = 0, chunk.n - 1 do chunk.out[i] = -chunk.data[i] end
  end,
}
"""
WAYS = ("", "piece = 4096,")


class Tools(RunnerTest):
    def setUp(self):
        super().setUp()
        for tool in ("zstd", "lz4"):
            if not shutil.which(tool):
                self.skipTest(tool + " is not installed")

    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def tool(self, *command, data=b"", code=0):
        r = subprocess.run(command, input=data, cwd=self.dir, capture_output=True)
        self.assertEqual(r.returncode == 0, code == 0, r)
        return r.stdout

    def text(self, n=200000):
        return b"".join(b"line %d\n" % (i * i % 90001) for i in range(n // 8))[:n]

    def test_frames_that_name_their_dictionary(self):
        text = self.text()
        self.put("text", text)
        self.tool("zstd", "-q", "--train", "-B2000", "text", "-o", "dictionary")
        with open(self.path("dictionary"), "rb") as f:
            number = int.from_bytes(f.read(8)[4:], "little")
        frame = self.tool("zstd", "-q", "-c", "-D", "dictionary", data=text)
        plain = self.tool("zstd", "-q", "-c", data=text)
        self.put("a.in", plain)
        for damaged in (frame, plain + frame):
            self.put("b.in", damaged)
            self.tool("zstd", "-t", "b.in", code=1)
            for way in WAYS:
                r = self.run_lsio("-e", SUM % ("zstd", way))
                self.assertEqual(r.code, 5, r)
                self.assertIn("a zstd frame needs the dictionary with ID %d, which the job has not been given: "
                              "object 'b.in', offset 0" % number, r.err)
                self.assertIn('write dictionary = "PATH" beside codec = "zstd"; --on-error skip leaves such', r.said)
                r = self.run_lsio("--on-error=skip", "-e", SUM % ("zstd", way))
                self.assertIn('write dictionary = "PATH" beside codec = "zstd"\n', r.err)
                self.assertNotIn("--on-error", r.err)
                r = self.run_lsio("--on-error=skip", "--errors=e.jsonl", "-e", SUM % ("zstd", way))
                self.assertEqual(r.code, 1, r)
                self.assertEqual(r.out.split()[:2], [str(sum(text)), str(len(text))])
                with open(self.path("e.jsonl")) as f:
                    self.assertEqual(json.load(f)["code"], "LSIO_ERR_UNSUPPORTED")

    def test_frames_that_do_not_name_their_dictionary(self):
        """Only where they begin with its tables can that be told from damage."""
        text = self.text()
        self.put("text", text)
        self.tool("zstd", "-q", "--train", "-B2000", "text", "-o", "dictionary")
        told = set()
        for n in (300, 5000, 20000):
            self.put("a.in", self.tool("zstd", "-q", "-c", "-D", "dictionary", "--no-dictID", data=text[:n]))
            r = subprocess.run(["zstd", "-t", self.path("a.in")], capture_output=True)
            tells = b"Dictionary is corrupted" in r.stderr
            for way in WAYS:
                r = self.run_lsio("-e", SUM % ("zstd", way))
                self.assertEqual(r.code, 8, r)
                self.assertEqual("or was written with a dictionary" in r.err, tells, (n, r))
            told.add(tells)
        self.assertEqual(told, {False, True})

    def test_frames_with_their_dictionary(self):
        text = self.text()
        self.put("text", text)
        names = ("right", "wrong", "raw")
        self.tool("zstd", "-q", "--train", "-B2000", "text", "-o", "right")
        self.tool("zstd", "-q", "--train", "-B3000", "--dictID=77", "text", "-o", "wrong")
        self.put("raw", text[:5000])
        with open(self.path("right"), "rb") as f:
            number = int.from_bytes(f.read(8)[4:], "little")
        frames = {name: self.tool("zstd", "-q", "-c", *options, data=text) for name, options in {
            "named": ("-D", "right"), "unnamed": ("-D", "right", "--no-dictID"), "stream": ("-D", "right", "--long=27"),
            "raw": ("-D", "raw"), "plain": ()}.items()}
        want = [str(sum(text)), str(len(text))]
        for codec in ("zstd", "auto"):
            for dictionary in names + (None,):
                for kind, frame in frames.items():
                    self.put("a.in", frame + frames["plain"] if kind == "stream" else frame)
                    if kind == "stream":
                        want2 = [str(2 * sum(text)), str(2 * len(text))]
                    own = {"raw": "raw", "plain": dictionary}.get(kind, "right")
                    for way in WAYS:
                        more = way + ('dictionary = "%s",' % dictionary if dictionary else "")
                        r = self.run_lsio("-j2", "-e", SUM % (codec, more))
                        where = (codec, dictionary, kind, way, r)
                        if own == dictionary:
                            self.assertEqual(r.code, 0, where)
                            self.assertEqual(r.out.split()[:2], want2 if kind == "stream" else want, where)
                        elif kind in ("named", "stream"):
                            self.assertEqual(r.code, 5, where)
                            self.assertIn("needs the dictionary with ID %d, " % number, r.err)
                            self.assertIn({"wrong": "but that of the job has the ID 77", "raw": "but that of the job has none",
                                           None: "which the job has not been given"}[dictionary], r.err)
                        else:
                            self.assertEqual(r.code, 8, where)

    def test_dictionaries_that_are_none(self):
        self.put("a.in", self.tool("zstd", "-q", "-c", data=b"text"))
        self.put("empty", b"")
        self.put("damaged", b"\x37\xa4\x30\xec\1\0\0\0" + b"damaged" * 100)
        for name, code, what in (("missing", 4, "object 'missing'"), ("empty", 4, "a dictionary is empty"),
                                 ("damaged", 8, "a dictionary of zstd is damaged: object 'damaged'")):
            r = self.run_lsio("-e", SUM % ("zstd", 'dictionary = "%s",' % name))
            self.assertEqual(r.code, code, r)
            self.assertIn(what, r.err)
        r = self.run_lsio("-e", SUM % ("lz4", 'dictionary = "empty",'))
        self.assertEqual(r.code, 3, r)
        self.assertIn('dictionary is for codec = "zstd" or "auto", not "lz4"', r.err)

    def test_formats_that_are_not_read(self):
        text = self.text()
        zst = self.tool("zstd", "-q", "-c", data=text)
        lz4 = self.tool("lz4", "-q", "-c", data=text)
        rows = [("lz4", self.tool("lz4", "-q", "-c", "-l", data=text), "the legacy format of lz4, which is not supported"),
                ("lz4_block", lz4, 'codec = "lz4"'), ("lz4_block", zst, 'codec = "zstd"')]
        for codec in ("lz4", "zstd", "blosc", "lz4_block", "zlib"):
            rows.append((codec, gzip.compress(text), 'codec = "gzip"'))
        for codec in ("lz4", "zstd", "blosc", "gzip"):
            rows.append((codec, zlib.compress(text), 'codec = "zlib"'))
        for codec in ("gzip", "zlib"):
            rows.append((codec, bz2.compress(text), "bzip2, which is not supported"))
            rows.append((codec, zst, 'codec = "zstd"'))
        for codec, data, what in rows:
            self.put("a.in", data)
            for way in WAYS if codec != "lz4_block" else ("decoded = 200000,",):
                r = self.run_lsio("-e", SUM % (codec, way))
                self.assertEqual(r.code, 8, r)
                self.assertIn("it looks like ", r.err)
                self.assertIn(what, r.err)

    def test_skippable_frames_alone_are_no_data(self):
        self.put("a.in", b"\x50\x2a\x4d\x18\x03\0\0\0abc")
        for codec in ("lz4", "zstd"):
            self.tool(codec, "-t", "a.in")
            for way in WAYS:
                self.assertEqual(self.expect(0, "-e", SUM % (codec, way)).out, "0 0 1\n")

    def values(self, n=2500000):
        return (np.cumsum(np.random.RandomState(1).randint(-3, 4, n)) % 5000).astype("<f4")

    def long(self, data, *options):
        """From a pipe: the header states the window, and not that there is less."""
        frame = self.tool("zstd", "-q", "-c", "-1", *options, data=data)
        self.assertEqual(frame[4] >> 6, 0)
        self.put("a.in", frame)
        self.tool("zstd", "-t", *options, "a.in")
        return frame

    def test_a_window_that_is_stated_and_not_used(self):
        values = self.values()
        data = values.tobytes()
        job = (SUM % ("zstd", 'piece = "64KiB",')).replace('"u8"', '"f32"')
        for options in (("--long=31",), ("--long=27",), ("--long=30", "--no-check")):
            frame = self.long(data, *options)
            for more in (b"", frame):
                self.put("a.in", frame + more)
                out = self.expect(0, "-j1", "--memory=40MiB", "--json=s.json", "-e", job).out.split()
                n = 2 if more else 1
                self.assertEqual(out, [str(n * int(values.sum(dtype="f8"))), str(n * len(values)),
                                       str(-(-n * len(values) // 16384))])
                self.assertLess(self.summary()["peak_memory"], (40 + 24) << 20)

    def test_a_window_that_does_not_fit_beside_the_pieces(self):
        """Where results are gathered, pieces get little memory; the chunk fits whole."""
        values = self.values()
        frame = self.long(values.tobytes(), "--long=31")
        small = self.tool("zstd", "-q", "-c", "--zstd=wlog=12", data=values.tobytes())
        job = MAP % "65536"
        for data in (frame, small + frame, self.tool("zstd", "-q", "-c", "-19", "--long=25", data=values.tobytes()) * 2):
            self.put("a.in", data)
            self.expect(0, "-j1", "--memory=512MiB", "-e", job)
            out = np.load(self.path("out.npy"))
            np.testing.assert_array_equal(out[:len(values)], -values)
            np.testing.assert_array_equal(out[len(values):], -values[:len(out) - len(values)])
            r = self.expect(9, "-j1", "--memory=16MiB", "-e", job)
            self.assertIn("object 'a.in'", r.err)
            self.assertIn("--memory", r.err)
            self.assertNotIn("`piece`", r.err)


class FewerWorkers(RunnerTest):
    def test_for_windows_that_one_share_does_not_hold(self):
        """By pieces a frame keeps its window: of chunks that use a large one, fewer are decoded at once."""
        if not shutil.which("zstd"):
            self.skipTest("zstd is not installed")
        data = os.urandom(4 << 20) * 6
        with open(self.path("raw"), "wb") as raw:
            raw.write(data)
        for piped, name in ((False, "a"), (True, "b")):
            for i in range(4):
                with open(self.path("raw"), "rb") as raw, open(self.path("%s%d.zst" % (name, i)), "wb") as f:
                    subprocess.run(["zstd", "-q", "-1", "--long=25", "-c", *([] if piped else [raw.name])],
                                   stdin=raw, stdout=f, check=True)
            r = self.expect(0, "-j4", "--memory=96MiB", "-e", """local lsio = require "lsio"
              return lsio.job { source = lsio.files("%s*.zst", { whole = true }), type = "u8", codec = "zstd",
                piece = "1MiB", state = "double n;", reduce = { n = "sum" },
                transform = function(chunk, state) state.n = state.n + chunk.n end,
                done = function(r) print(r.n) end }""" % name)
            self.assertEqual(r.out.strip(), str(4 * len(data)))
            self.assertIn("memory for no more; 4 were wanted", r.err)


if __name__ == "__main__":
    unittest.main()
