"""Chunks that are far larger than memory and come by pieces, read bit by bit: against hashlib and numpy."""
import hashlib
import json
import os
import shutil
import subprocess
import unittest

import blosc
import numpy as np

from support import RunnerTest

MIB = 1 << 20

HASH = """
local lsio = require "lsio"
local hash
return lsio.job {
  source = lsio.files(%(files)s, { %(how)s }), piece = "%(piece)s", merge = "never", %(more)s
  state = function() return { lines = {} } end,
  transform = function(chunk, state)
    hash = hash or lsio.k.sha256_begin()
    if chunk.first then hash:reset() end
    hash:update(chunk.data, chunk.n)
    if not chunk.last then assert(chunk.n == %(n)d, chunk.n) return end
    table.insert(state.lines, ("%%s %%d %%d"):format(hash:hex(), chunk.offset, chunk.length))
  end,
  reduce = { lines = "concat" },
  done = function(r) table.sort(r.lines) print(table.concat(r.lines, "\\n")) end,
}
"""


class StreamedTest(RunnerTest):
    def hash_job(self, how="whole = true", piece="1MiB", n=MIB, files='"*.bin"', more=""):
        return self.write("hash.lua", HASH % dict(how=how, piece=piece, n=n, files=files, more=more))

    def summary(self, *args, code=0):
        r = self.run_lsio("--json=s.json", *args)
        self.assertEqual(r.code, code, r)
        with open(self.path("s.json"), encoding="utf-8") as f:
            return r, json.load(f)

    def random_file(self, name, size, seed=1):
        data = np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
        with open(self.path(name), "wb") as f:
            f.write(data)
        return data

    def test_a_file_that_no_memory_holds(self):
        size, tail = 5 << 30, b"the end"
        with open(self.path("a.bin"), "wb") as f:
            f.truncate(size)
            f.seek(size - len(tail))
            f.write(tail)
        job = self.write("ends.lua", """
            local lsio = require "lsio"
            local at
            return lsio.job {
              source = lsio.files("a.bin", { whole = true }), piece = "1MiB",
              state = "double bytes, ends, not_zero;", reduce = { bytes = "sum", ends = "sum", not_zero = "sum" },
              transform = function(chunk, state)
                at = chunk.first and 0 or at
                assert(chunk.pos == at)
                at = at + chunk.n
                state.bytes = state.bytes + chunk.n
                state.not_zero = state.not_zero + chunk.data[0] + chunk.data[chunk.n - 8]
                if chunk.last then state.ends = chunk.data[chunk.n - 1] end
              end,
              done = function(r) print(("%.0f %d %d"):format(r.bytes, r.ends, r.not_zero)) end }""")
        for options in (["--memory=64MiB"], ["--memory=64MiB", "--backend=mapped"]):
            r, s = self.summary(*options, job)
            self.assertEqual(r.out, "%d %d 0\n" % (size, tail[-1]))
            self.assertLess(s["peak_memory"], 64 * MIB)
            self.assertEqual(s["steps"], 1)

    def test_every_way_of_reading(self):
        data = self.random_file("a.bin", 37 * MIB + 12345)
        want = "%s 0 %d\n" % (hashlib.sha256(data).hexdigest(), len(data))
        job = self.hash_job()
        for options in ([], ["--direct=always"], ["--direct=never"], ["--backend=pread"], ["--backend=mapped"],
                        ["--backend=pread", "--direct=always"], ["--queue-depth=1"], ["--memory=16MiB"],
                        ["--tune=lend=always"], ["--tune=lend=never"]):
            with self.subTest(options):
                r, s = self.summary(*options, job)
                self.assertEqual(r.out, want)
                self.assertLess(s["peak_memory"], 32 * MIB)

    def test_any_offsets_and_pieces(self):
        data = self.random_file("a.bin", 23 * MIB + 77)
        for offset, chunk, piece in ((5, 9 * MIB + 3, 4096), (70001, 11 * MIB, 100000), (4096, 8 * MIB, 8192),
                                     (1, 23 * MIB, 3 * MIB + 1), (8191, 9 * MIB, 65536), (0, 12 * MIB, MIB - 1)):
            cuts = range(offset, len(data), chunk)
            want = sorted("%s %d %d" % (hashlib.sha256(data[a:a + chunk]).hexdigest(), a, len(data[a:a + chunk]))
                          for a in cuts)
            job = self.hash_job("offset = %d, chunk = %d" % (offset, chunk), str(piece), piece)
            for options in (["--memory=24MiB"], ["--memory=24MiB", "--direct=always"], ["--backend=pread"]):
                with self.subTest(offset=offset, options=options):
                    r, _ = self.summary(*options, job)
                    self.assertEqual(r.out.split("\n")[:-1], want)

    def test_many_large_files_keep_workers_busy(self):
        want = []
        for i in range(12):
            data = self.random_file("%02d.bin" % i, (3 + 5 * (i % 4)) * MIB + i, i)
            want.append("%s 0 %d" % (hashlib.sha256(data).hexdigest(), len(data)))
        for files in ('"*.bin"', "{ %s }" % ", ".join('"%02d.bin"' % i for i in range(12))):
            r, s = self.summary("-j2", "--memory=64MiB", self.hash_job(files=files))
            self.assertEqual(r.out.split("\n")[:-1], sorted(want))
            self.assertTrue(all(w["steps"] for w in s["workers"]), s["workers"])

    def test_results_stand_where_they_belong(self):
        values = np.arange(9 * MIB, dtype="<i2")
        values.tofile(self.path("a.bin"))
        values[::-1].tofile(self.path("b.bin"))
        job = self.write("map.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.files("*.bin", { whole = true }), type = "i16", piece = "300KB",
              sink = lsio.npy("out.npy", { type = "f32", exists = "replace" }),
              transform = function(c) lsio.k.scale_offset(c.data, c.n, c.out, 0.5, 1) end }""")
        want = np.concatenate([values, values[::-1]]).astype("<f4") * np.float32(0.5) + 1
        for options in ([], ["--direct=always"], ["--backend=pread"]):
            self.summary("--memory=32MiB", *options, job)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), want)

    def test_a_failure_behind_many_pieces_leaves_no_trace(self):
        self.random_file("a.bin", 20 * MIB)
        self.random_file("b.bin", 21 * MIB)
        job = self.write("skip.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.files("*.bin", { whole = true }), piece = "64KiB", on_error = "skip",
              state = "double bytes;", reduce = { bytes = "sum" },
              transform = function(chunk, state)
                state.bytes = state.bytes + chunk.n
                if chunk.name:find("a.bin") and chunk.pos > 12 * 2^20 then error("enough") end
              end,
              done = function(r) print(("%.0f"):format(r.bytes)) end }""")
        for options in ([], ["--direct=always"], ["-j1"]):
            r, s = self.summary("--memory=32MiB", *options, job, code=1)
            self.assertEqual(r.out, "%d\n" % (21 * MIB))
            self.assertEqual((s["steps"], s["steps_failed"]), (1, 1))
            self.assertIn("a.bin", r.err)

    def packed_files(self):
        """Files that stay larger than what is read ahead when they are packed, by the codecs' own tools."""
        data = np.random.default_rng(7).integers(0, 64, 24 * MIB + 1001, np.uint8).tobytes()
        data += bytes(20 * MIB) + data[:5 * MIB]
        with open(self.path("data"), "wb") as f:
            f.write(data)
        for name, command in (("a.zst", "zstd -q -3 -c data"), ("b.zst", "zstd -q -1 --no-check -c < data"),
                              ("c.zst", "zstd -q --long=24 -c data"), ("a.lz4", "lz4 -q -B7 -c data"),
                              ("b.lz4", "lz4 -q -B4 -BD -BX -c data"), ("a.gz", "gzip -1 -c data"),
                              ("b.gz", "(head -c 9000000 data | gzip -1; tail -c +9000001 data | gzip -4)")):
            subprocess.run(["sh", "-c", command + " > " + name], cwd=self.dir, check=True)
        shutil.copy(self.path("a.zst"), self.path("d.zst"))
        with open(self.path("d.zst"), "ab") as f, open(self.path("b.zst"), "rb") as more:
            f.write(b"\x50\x2a\x4d\x18" + (3 * MIB).to_bytes(4, "little") + bytes(3 * MIB) + more.read())
        return data

    def test_codecs(self):
        data = self.packed_files()
        once, twice = hashlib.sha256(data).hexdigest(), hashlib.sha256(data + data).hexdigest()
        codecs = {"zst": "zstd", "lz4": "lz4", "gz": "gzip"}
        for end, codec in codecs.items():
            names = sorted(n for n in os.listdir(self.dir) if n.endswith("." + end))
            want = sorted("%s 0 %d" % (twice if n == "d.zst" else once, os.path.getsize(self.path(n))) for n in names)
            for piece, options in ((MIB, ["--memory=96MiB"]), (70000, ["--direct=always"]),
                                   (300000, ["-j1", "--memory=64MiB", "--backend=pread"])):
                job = self.hash_job(piece=str(piece), n=piece, files='"*.%s"' % end, more='codec = "%s",' % codec)
                with self.subTest(codec=codec, piece=piece, options=options):
                    r, s = self.summary(*options, job)
                    self.assertEqual(r.out.split("\n")[:-1], want)
                    self.assertLess(s["peak_memory"], 96 * MIB)
                    self.assertEqual(s["bytes_decoded"], sum(len(data) * (2 if n == "d.zst" else 1) for n in names))

    def test_blosc(self):
        """Packed by python-blosc; of its threads one may be late by any number of blocks, which takes memory."""
        n = 9 * MIB
        values = np.random.default_rng(5).integers(0, 1 << 20, n, np.int32).cumsum(dtype=np.int32)
        data, want, many = values.tobytes(), [], []
        digest = hashlib.sha256(data).hexdigest()
        for i, (name, shuffle, level, threads) in enumerate((
                ("lz4", blosc.SHUFFLE, 5, 1), ("zstd", blosc.NOSHUFFLE, 1, 1), ("blosclz", blosc.BITSHUFFLE, 5, 1),
                ("zlib", blosc.SHUFFLE, 1, 4), ("lz4hc", blosc.BITSHUFFLE, 1, 4), ("lz4", blosc.NOSHUFFLE, 0, 1))):
            blosc.set_nthreads(threads)
            frame = blosc.compress(data, 4, level, shuffle, name) + bytes(i * 70000)
            self.assertGreater(len(frame), 9 * MIB)  # than is read ahead
            with open(self.path("%d.%s" % (i, "one" if threads == 1 else "many")), "wb") as f:
                f.write(frame)
            if threads == 1:
                want.append("%s 0 %d" % (digest, len(frame)))
            else:
                many.append("%s 0 %d" % (digest, len(frame)))
        for piece, options in ((MIB, ["--memory=64MiB"]), (70000, ["--direct=always"]), (65536, ["--memory=16MiB", "-j1"]),
                               (300000, ["-j1", "--memory=64MiB", "--backend=pread"]), (4 * MIB, ["--backend=mapped"])):
            job = self.hash_job(piece=str(piece), n=piece, files='"*.one"', more='codec = "blosc",')
            with self.subTest(piece=piece, options=options):
                r, s = self.summary(*options, job)
                self.assertEqual(r.out.split("\n")[:-1], sorted(want))
                self.assertLess(s["peak_memory"], 96 * MIB)
                self.assertEqual(s["bytes_decoded"], len(want) * len(data))
        job = self.hash_job(files='"*.many"', more='codec = "blosc",')
        r, s = self.summary("--memory=512MiB", job)
        self.assertEqual(r.out.split("\n")[:-1], sorted(many))

    def blosc_frame(self, name, parts, order=None):
        """A file of blocks of 64 KiB, each of which is one of `parts` packed, in any order."""
        block, packed = 65536, {}
        for part in set(parts):
            frame = blosc.compress(part, 1, 9, blosc.NOSHUFFLE, "zstd")
            self.assertEqual((len(part), frame[2] & 0x12, frame[8:12]), (block, 0x10, block.to_bytes(4, "little")))
            packed[part] = frame[20:]
        n, packed = len(parts), [packed[p] for p in parts]
        starts, at = [0] * n, 16 + 4 * n
        for i in order or range(n):
            starts[i], at = at, at + len(packed[i])
        with open(self.path(name), "wb") as f:
            f.write(bytes((2, 1, frame[2], 1)) + b"".join(v.to_bytes(4, "little") for v in (n * block, block, at)))
            f.write(b"".join(v.to_bytes(4, "little") for v in starts))
            for i in order or range(n):
                f.write(packed[i])

    def test_a_blosc_chunk_that_no_memory_holds(self):
        """2 GiB less eight blocks; of every eighth block a part does not shrink."""
        noise = np.random.default_rng(9).integers(0, 256, 65536 // 3, np.uint8).tobytes() + bytes(65536 // 3 * 2 + 1)
        self.blosc_frame("a.blosc", ([noise] + [bytes([k]) * 65536 for k in range(1, 8)]) * 4095)
        self.assertGreater(os.path.getsize(self.path("a.blosc")), 80 * MIB)
        job = self.write("sum.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.files("a.blosc", { whole = true }), codec = "blosc", piece = "1MiB",
              state = "double n, sum;", reduce = { n = "sum", sum = "sum" },
              transform = function(chunk, state)
                state.n, state.sum = state.n + chunk.n, state.sum + lsio.k.sum(chunk.data)
              end,
              done = function(r) print(("%.0f %.0f"):format(r.n, r.sum)) end }""")
        r, s = self.summary("--memory=64MiB", job)
        self.assertEqual(r.out, "%d %d\n" % (4095 * 8 * 65536, 4095 * (sum(noise) + 65536 * 28)))
        self.assertLess(s["peak_memory"], 64 * MIB)

    def test_blosc_blocks_in_another_order(self):
        rng = np.random.default_rng(11)
        parts = [rng.integers(0, 100, 65536, np.uint8).tobytes() for _ in range(400)]
        want = "%s 0 " % hashlib.sha256(b"".join(parts)).hexdigest()
        near = [i ^ 5 for i in range(400)]
        far = list(range(1, 400)) + [0]
        for order in (near, far, far[::-1]):
            self.blosc_frame("a.blosc", parts, order)
            job = self.hash_job(files='"a.blosc"', more='codec = "blosc",')
            r, s = self.summary("--memory=96MiB", job)
            self.assertEqual(r.out, want + "%d\n" % os.path.getsize(self.path("a.blosc")))
            r, s = self.summary("--memory=20MiB", "-j1", job, code=9 if order is not near else 0)
            if order is not near:
                self.assertEqual([e["code"] for e in s["errors"]], ["LSIO_ERR_LIMIT"])
                self.assertIn("another order", r.err)
                self.assertIn("--memory", r.err)

    def test_auto(self):
        data = self.packed_files()
        os.rename(self.path("data"), self.path("data.bin"))
        skipped = b"\x50\x2a\x4d\x18" + (100000).to_bytes(4, "little") + bytes(100000)
        for name, of in (("e.zst", "b.zst"), ("c.lz4", "a.lz4"), ("b.bin", "data.bin")):
            with open(self.path(name), "wb") as f, open(self.path(of), "rb") as more:
                f.write(skipped + more.read())
        want, names = [], sorted(os.listdir(self.dir))
        for name in names:
            content = data * 2 if name == "d.zst" else skipped + data if name == "b.bin" else data
            want.append("%s 0 %d" % (hashlib.sha256(content).hexdigest(), os.path.getsize(self.path(name))))
        self.assertEqual(len(want), 12)
        for piece, options in ((MIB, ["--memory=96MiB"]), (70000, ["--backend=pread"]), (65536, ["--direct=always"])):
            job = self.hash_job(piece=str(piece), n=piece, files="{ %s }" % ", ".join('"%s"' % n for n in names),
                                more='codec = "auto",')
            with self.subTest(piece=piece):
                r, s = self.summary(*options, job)
                self.assertEqual(r.out.split("\n")[:-1], sorted(want))
                self.assertLess(s["peak_memory"], 96 * MIB)

    def test_damage_far_behind(self):
        self.packed_files()
        with open(self.path("a.blosc"), "wb") as f:
            noise = np.random.default_rng(2).integers(0, 64, os.path.getsize(self.path("data")), np.uint8)
            f.write(blosc.compress(noise.tobytes(), 1, 5, blosc.NOSHUFFLE, "zstd"))
        for name, codec, cut in (("a.zst", "zstd", -9), ("a.lz4", "lz4", -9), ("a.gz", "gzip", -3), ("b.gz", "gzip", None),
                                 ("a.zst", "auto", -9), ("b.gz", "auto", None), ("a.blosc", "blosc", -9)):
            with open(self.path(name), "rb") as f:
                stored = bytearray(f.read())
            if cut is None:
                stored[len(stored) - 2 * MIB] ^= 0xFF
            with open(self.path("bad"), "wb") as f:
                f.write(stored[:cut])
            job = self.write("count.lua", """
                local lsio = require "lsio"
                return lsio.job { source = lsio.files({ "bad", "%s" }, { whole = true }), codec = "%s", piece = "1MiB",
                  on_error = "skip", state = "double n;", reduce = { n = "sum" },
                  transform = function(chunk, state) state.n = state.n + chunk.n end,
                  done = function(r) print(("%%.0f"):format(r.n)) end }""" % (name, codec))
            r, s = self.summary("--memory=96MiB", job, code=1)
            self.assertEqual(int(r.out), os.path.getsize(self.path("data")))
            self.assertEqual([(e["code"], e["object"]) for e in s["errors"]], [("LSIO_ERR_CORRUPT", "bad")])

    def test_big_endian_and_progress(self):
        values = np.random.default_rng(3).integers(0, 1 << 31, 5 * MIB, np.uint32)
        values.astype(">u4").tofile(self.path("a.bin"))
        job = self.write("sum.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.files("a.bin", { whole = true }), type = ">u4", piece = "64KiB",
              state = "double sum;", reduce = { sum = "sum" },
              transform = function(chunk, state) state.sum = state.sum + lsio.k.sum(chunk.data) end,
              done = function(r) print(("%.0f"):format(r.sum)) end }""")
        r, s = self.summary("--memory=16MiB", job)
        self.assertEqual(int(r.out), int(values.sum(dtype=np.uint64)))
        self.assertEqual(s["bytes_requested"], os.path.getsize(self.path("a.bin")))


if __name__ == "__main__":
    unittest.main()
