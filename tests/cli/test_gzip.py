"""gzip and zlib as Python, gzip and pigz write them, as files, chunks and pieces."""
import gzip
import os
import shutil
import struct
import subprocess
import unittest
import zlib

import numpy as np

from support import RunnerTest

COPY = """
local lsio = require "lsio"
return lsio.job { source = %s, codec = "%s", %s sink = lsio.raw("out", { exists = "replace" }) }
"""
PIECES = """
local lsio = require "lsio"
return lsio.job {
  source = %s, codec = "%s", piece = "%s", sink = lsio.raw("out", { exists = "replace" }),
  transform = function(c) lsio.k.copy(c.data, c.n, c.out) end,
}
"""
FILES = 'lsio.files("*.in", { whole = true })'


class Gzip(RunnerTest):
    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def tool(self, *command, data=b""):
        if not shutil.which(command[0]):
            self.skipTest(command[0] + " is not installed")
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout

    def data(self, n=700000):
        text = b"".join(b"line %d\n" % (i * i % 90001) for i in range(n // 16))
        return (text + np.random.RandomState(1).bytes(n // 4) + bytes(n // 2))[:n]

    def jobs(self, codec="gzip", source=FILES):
        return [COPY % (source, codec, ""), COPY % (source, codec, 'decoded = "2MiB",'),
                PIECES % (source, codec, "4KiB"), PIECES % (source, codec, "100KiB")]

    def expect_all(self, want, codec="gzip", source=FILES):
        for job in self.jobs(codec, source):
            self.expect(0, "-e", job)
            with open(self.path("out"), "rb") as f:
                self.assertTrue(f.read() == want, job)

    def fails(self, code, *words, codec="gzip"):
        for job in self.jobs(codec):
            r = self.run_lsio("-e", job)
            self.assertEqual(r.code, code, r)
            for word in words:
                self.assertIn(word, r.err)

    def test_what_python_writes(self):
        data = self.data()
        for level in (0, 1, 6, 9):
            self.put("a.in", gzip.compress(data, level) + gzip.compress(b"") + gzip.compress(data[::-1], level))
            self.expect_all(data + data[::-1])
            self.put("a.in", zlib.compress(data, level))
            self.expect_all(data, "zlib")

    def test_what_gzip_writes(self):
        data = self.data()
        self.put("named", data)
        self.put("a.in", self.tool("gzip", "-c", "-N", self.path("named")) + self.tool("gzip", "-1", data=data))
        self.expect_all(data + data)

    def test_what_pigz_writes(self):
        data = self.data()
        for options in (("-c",), ("-c", "-i"), ("-c", "-11"), ("-c", "-R")):
            self.put("a.in", self.tool("pigz", *options, data=data))
            self.expect_all(data)
        self.put("a.in", self.tool("pigz", "-c", "-z", data=data))
        self.expect_all(data, "zlib")

    def test_chunks_of_a_file(self):
        parts = [self.data(n) for n in (1, 3000, 90000, 20000)]
        for codec, encode in (("gzip", gzip.compress), ("zlib", zlib.compress)):
            stored = [encode(p) for p in parts]
            self.put("all.bin", b"behind" + b"".join(stored))
            offsets, at = [], 6
            for s in stored:
                offsets.append(at)
                at += len(s)
            source = 'lsio.ranges { objects = { "all.bin" }, offset = { %s }, length = { %s } }' % (
                ", ".join(map(str, offsets)), ", ".join(str(len(s)) for s in stored))
            self.expect_all(b"".join(parts), codec, source)

    def test_as_gzip_says_of_files(self):
        """Whatever gzip takes without a warning, and nothing else."""
        data, member = self.data(50000), gzip.compress(self.data(50000))
        rows = [(member, None), (member + bytes(1), None), (member + bytes(100000), None), (b"", "an empty chunk holds no gzip member"),
                (member + b"x", "bytes after a gzip member are not another one"),
                (member + b"\0" + member, "another one, and not zero"), (member[:-1], "is cut short"),
                (member[:5], "is cut short"), (member + member[:-9], "is cut short"), (bytes(20), "does not begin with a gzip member"),
                (member[:-4] + b"\1\2\3\4", "does not hold the size it states"),
                (member[:-8] + b"\1\2\3\4" + member[-4:], "a checksum that is wrong"),
                (member[:3] + b"\x80" + member[4:], "flags that mean nothing yet"),
                (member[:2] + b"\7" + member[3:], "unknown way"), (data, "check `codec`")]
        for stored, what in rows:
            self.put("a.in", stored)
            if shutil.which("gzip"):
                r = subprocess.run(["gzip", "-t", "-S", ".in", self.path("a.in")], capture_output=True)
                self.assertEqual(r.returncode == 0, what is None, (what, r))
            if what is None:
                self.expect_all(data)
            else:
                self.fails(8, what, "a.in")

    def test_more_than_its_memory(self):
        """By pieces, whatever it decodes to; and the size at its end tells nothing."""
        zeros = gzip.compress(bytes(64 << 20))
        job = """
local lsio = require "lsio"
return lsio.job { source = lsio.files("*.in", { whole = true }), codec = "gzip", %s
  state = "double n;", reduce = { n = "sum" }, transform = function(c, s) s.n = s.n + c.n end,
  done = function(r) print(("%%.0f"):format(r.n)) end }
"""
        self.put("a.in", zeros * 4)
        r = self.expect(0, "-j1", "--memory=16MiB", "--json=s.json", "-e", job % 'piece = "1MiB",')
        self.assertEqual(r.out, "%d\n" % (256 << 20))
        self.assertLess(self.summary()["peak_memory"], 40 << 20)
        r = self.run_lsio("-j1", "--memory=16MiB", "-e", job % "")
        self.assertEqual(r.code, 9, r)
        self.assertIn("take such chunks in pieces (`piece`)", r.err)
        for size in (0, 1, 1 << 31, (1 << 32) - 1):
            self.put("a.in", gzip.compress(b"abc" * 1000)[:-4] + struct.pack("<I", size))
            for more in ("", 'piece = "1KiB",'):
                r = self.run_lsio("-j1", "--memory=16MiB", "-e", job % more)
                self.assertEqual(r.code, 8, r)
                self.assertIn("does not hold the size it states", r.err)

    def test_decoders_in_lua(self):
        self.put("a.in", gzip.compress(b"abc" * 100) + b"")
        self.put("b.in", zlib.compress(b"abc" * 100))
        r = self.expect(0, "-e", """
local lsio = require "lsio"
return lsio.job { source = lsio.files("*.in", { whole = true }), out_max = 500, sink = lsio.raw("out"),
  transform = function(c)
    local how = c.index == 0 and lsio.codec.gzip or lsio.codec.zlib
    return how(c.data, c.n, c.out)
  end }""")
        with open(self.path("out"), "rb") as f:
            self.assertEqual(f.read(), b"abc" * 200, r)

    def test_files_of_several_codecs(self):
        data = self.data(300000)
        stored = [gzip.compress(data), data, b"", zlib.compress(data), b"\x1f\x8b\x08"[:2]]
        want = [data, data, b"", zlib.compress(data), b"\x1f\x8b"]
        for tool in ("zstd", "lz4"):
            if shutil.which(tool):
                stored.append(self.tool(tool, "-q", "-c", data=data))
                want.append(data)
        for i, s in enumerate(stored):
            self.put("%d.in" % i, s)
        self.expect_all(b"".join(want), "auto")
        self.put("1.in", gzip.compress(data)[:-1])
        self.fails(8, "a gzip member is cut short", "1.in", codec="auto")

    def test_a_dictionary_of_zlib(self):
        c = zlib.compressobj(zdict=b"hello")
        self.put("a.in", c.compress(b"hello hello") + c.flush())
        self.fails(5, "a zlib stream needs the dictionary with ID %d" % zlib.adler32(b"hello"),
                   "write it again without a dictionary; --on-error skip leaves such steps out", codec="zlib")


if __name__ == "__main__":
    unittest.main()
