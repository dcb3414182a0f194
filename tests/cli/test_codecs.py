"""Frames as the tools `zstd` and `lz4` write them, with their rarer options."""
import gzip
import json
import shutil
import subprocess
import unittest
import zlib

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
                self.assertIn("a zstd frame needs the dictionary with ID %d, which LSIO can't be given yet: object "
                              "'b.in', offset 0" % number, r.err)
                self.assertIn("`zstd -d -D FILE`", r.err)
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

    def test_formats_that_are_not_read(self):
        text = self.text()
        zst = self.tool("zstd", "-q", "-c", data=text)
        lz4 = self.tool("lz4", "-q", "-c", data=text)
        rows = [("lz4", self.tool("lz4", "-q", "-c", "-l", data=text), "the legacy format of lz4, which is not supported"),
                ("lz4_block", lz4, 'codec = "lz4"'), ("lz4_block", zst, 'codec = "zstd"')]
        for codec in ("lz4", "zstd", "blosc", "lz4_block"):
            rows.append((codec, gzip.compress(text), "gzip, which is not supported"))
        for codec in ("lz4", "zstd", "blosc"):
            rows.append((codec, zlib.compress(text), "zlib, which is not supported"))
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


if __name__ == "__main__":
    unittest.main()
