"""Hostile data: frames of lz4 and zstd, gzip and zlib, lists of ranges as CSV and npy, ceilings of memory that are
too small and just large enough."""
import ctypes
import gzip
import json
import os
import random
import re
import struct
import unittest
import zlib

import numpy as np

from support import RunnerTest

DECODE = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.%s"), type = "f32", codec = "%s",
  out_max = 4096, sink = lsio.npy("out.npy", { exists = "replace", order = "completed" }), on_error = "skip",
  transform = function(chunk)
    assert(chunk.n <= 4096)
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
    return chunk.n
  end,
}
"""

RANGES = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { %s }, type = "u8", sink = lsio.npy("out.npy", { exists = "replace" }),
}
"""


def xxh32(data, seed=0):
    """Of less than 16 bytes."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    m = 0xFFFFFFFF
    h = (seed + p5 + len(data)) & m
    while len(data) >= 4:
        h = (h + struct.unpack("<I", data[:4])[0] * p3) & m
        h = ((h << 17 | h >> 15) & m) * p4 & m
        data = data[4:]
    for byte in data:
        h = (h + byte * p5) & m
        h = ((h << 11 | h >> 21) & m) * p1 & m
    h = (h ^ h >> 15) * p2 & m
    h = (h ^ h >> 13) * p3 & m
    return h ^ h >> 16


def lz4_header(size=None, block=7):
    """Independent blocks of up to 64 KiB << 2 * (block - 4), a checksum of the content."""
    head = bytes([0x64 | (8 if size is not None else 0), block << 4])
    if size is not None:
        head += struct.pack("<Q", size)
    return b"\x04\x22\x4d\x18" + head + bytes([xxh32(head) >> 8 & 255])


def lz4_frame(data, size=None):
    """With a checksum of the content, compressed by liblz4."""
    lib = ctypes.CDLL("liblz4.so.1")
    preferences = (ctypes.c_uint32 * 14)()  # LZ4F_preferences_t: blockSizeID, blockMode, checksum, ...
    preferences[2] = 1
    out = ctypes.create_string_buffer(len(data) + len(data) // 100 + 1024)
    lib.LZ4F_compressFrame.restype = ctypes.c_size_t
    n = lib.LZ4F_compressFrame(out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)),
                               preferences)
    assert n < len(out)
    return out.raw[:n]


def zstd_frame(data):
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_createCCtx.restype = ctypes.c_void_p
    lib.ZSTD_compress2.restype = ctypes.c_size_t
    c = ctypes.c_void_p(lib.ZSTD_createCCtx())
    lib.ZSTD_CCtx_setParameter(c, 201, 1)  # checksum
    out = ctypes.create_string_buffer(len(data) + 1024)
    n = lib.ZSTD_compress2(c, out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)))
    lib.ZSTD_freeCCtx(c)
    assert n < len(out)
    return out.raw[:n]


def zstd_of_runs(blocks, size=None, window=0x50):
    """Blocks of 128 KiB of one byte each: 4 bytes decode to 131072."""
    head = bytes([0xC0 if size is not None else 0, window])
    if size is not None:
        head += struct.pack("<Q", size)
    one = lambda last: struct.pack("<I", last | 1 << 1 | 131072 << 3)[:3] + b"z"
    return b"\x28\xb5\x2f\xfd" + head + one(0) * (blocks - 1) + one(1)


FRAMES = {"lz4": lz4_frame, "zstd": zstd_frame, "gzip": gzip.compress, "zlib": zlib.compress}


class Frames(RunnerTest):
    def setUp(self):
        super().setUp()
        self.seed = int.from_bytes(os.urandom(4), "little")
        self.random = random.Random(self.seed)

    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def values(self):
        return np.repeat(np.arange(512, dtype="<f4"), 4)

    def run_all(self, codec):
        """Decodes every file, skipping what is corrupt: {index: values} of those that decoded."""
        r = self.run_lsio("-j2", "--errors=e.jsonl", "-e", DECODE % (codec, codec))
        self.assertIn(r.code, (0, 1), (self.seed, r))
        data, index = np.load(self.path("out.npy")), np.load(self.path("out.npy.index.npy"))
        with open(self.path("e.jsonl")) as f:
            errors = [json.loads(line) for line in f]
        for e in errors:
            # A header of random bytes may ask for a dictionary.
            self.assertIn(e["code"], ("LSIO_ERR_CORRUPT", "LSIO_ERR_UNSUPPORTED"), (self.seed, e))
            self.assertTrue(e["object"].endswith("." + codec))
        failed = {e["step"] for e in errors}
        return {i: data[at:at + n] for i, at, n in index if i not in failed}, failed

    def test_truncated_frames(self):
        for codec, encode in FRAMES.items():
            frame = encode(self.values().tobytes())
            lengths = sorted(set(range(1, 40)) | set(range(len(frame) - 20, len(frame) + 1)) |
                             set(self.random.sample(range(40, len(frame)), 40)))
            for i, n in enumerate(lengths):
                self.put("%04d.%s" % (i, codec), frame[:n])
            good, failed = self.run_all(codec)
            self.assertEqual(list(good), [len(lengths) - 1], self.seed)
            np.testing.assert_array_equal(good[len(lengths) - 1], self.values())
            self.assertEqual(len(failed), len(lengths) - 1)

    def test_flipped_bits(self):
        for codec, encode in FRAMES.items():
            frame = encode(self.values().tobytes())
            for i in range(300):
                bad = bytearray(frame)
                for _ in range(1 + i % 3):
                    at = self.random.randrange(len(bad))
                    bad[at] ^= 1 << self.random.randrange(8)
                self.put("%04d.%s" % (i, codec), bad)
            good, failed = self.run_all(codec)
            self.assertGreater(len(failed), 250, self.seed)
            for i, got in good.items():  # the checksum lets nothing wrong through
                np.testing.assert_array_equal(got, self.values(), str((self.seed, i)))

    def test_garbage(self):
        for codec, encode in FRAMES.items():
            frame = encode(self.values().tobytes())
            for i in range(100):
                head = frame[:self.random.randrange(12)]
                self.put("%04d.%s" % (i, codec),
                         head + self.random.randbytes(1 + self.random.randrange(3000)))
            self.put("0100." + codec, frame + b"x")       # bytes behind the frame
            self.put("0101." + codec, frame + frame)      # frames one after the other are one chunk
            self.put("0102." + codec, frame[1:])
            good, _ = self.run_all(codec)
            if codec == "zlib":  # nothing that writes it does so
                self.assertEqual(list(good), [], self.seed)
                continue
            self.assertEqual(list(good), [101], self.seed)
            np.testing.assert_array_equal(good[101], np.tile(self.values(), 2))

    def test_sizes_are_not_trusted(self):
        for size in (1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 3):
            self.put("a.lz4", lz4_header(size) + struct.pack("<I", 1 << 31 | 4) + b"abcd")
            self.put("a.zstd", zstd_of_runs(2, size))
            for codec in ("lz4", "zstd"):
                job = DECODE.replace('on_error = "skip",', "") % (codec, codec)
                r = self.run_lsio("-j1", "--memory=64MiB", "--json=s.json", "-e", job)
                self.assertIn(r.code, (8, 9), (codec, size, r))
                self.assertIn("a." + codec, r.err)
                self.assertLess(self.summary()["peak_memory"], 64 << 20)
                self.assertNotIn("out.npy", self.left())

    def test_bombs(self):
        self.put("a.zstd", zstd_of_runs(32768))                           # 4 GiB in 128 KiB
        self.put("a.lz4", lz4_frame(bytes(256 << 20)))                    # 256 MiB in 1 MiB
        self.put("b.lz4", lz4_header(1000) + lz4_frame(bytes(64 << 20))[7:])  # says 1000 bytes
        self.put("a.gzip", gzip.compress(bytes(256 << 20)))               # 256 MiB in 256 KiB
        self.put("a.zlib", zlib.compress(bytes(256 << 20)))
        for name in ("a.zstd", "a.lz4", "b.lz4", "a.gzip", "a.zlib"):
            codec = name[2:]
            job = DECODE.replace('on_error = "skip",', "").replace("*.%s", name) % codec
            r = self.run_lsio("-j1", "--memory=16MiB", "--json=s.json", "-e", job)
            self.assertEqual(r.code, 8 if name[0] == "b" else 9, r)
            self.assertIn(name, r.err)
            if name[0] == "a":
                self.assertIn("memory", r.err)
            self.assertLess(self.summary()["peak_memory"], 48 << 20)
            self.assertNotIn("out.npy", self.left())
        # Under skip such a chunk is left out and the others come through.
        self.put("c.lz4", lz4_frame(self.values().tobytes()))
        r = self.expect(1, "-j1", "--memory=16MiB", "--errors=e.jsonl", "-e", DECODE % ("lz4", "lz4"))
        np.testing.assert_array_equal(np.load(self.path("out.npy")), self.values())
        with open(self.path("e.jsonl")) as f:
            self.assertEqual([json.loads(line)["code"] for line in f],
                             ["LSIO_ERR_LIMIT", "LSIO_ERR_CORRUPT"])

    def test_a_cap_is_a_cap(self):
        frame = lz4_frame(self.values().tobytes())
        self.put("a.lz4", frame)
        job = DECODE.replace('on_error = "skip",', "") % ("lz4", "lz4")
        size = self.values().nbytes
        self.expect(0, "-e", job.replace("codec =", "decoded = %d, codec =" % size))
        np.testing.assert_array_equal(np.load(self.path("out.npy")), self.values())
        r = self.run_lsio("-e", job.replace("codec =", "decoded = %d, codec =" % (size - 4)))
        self.assertIn(r.code, (8, 9), r)
        self.assertIn("a.lz4", r.err)


class Ranges(RunnerTest):
    def setUp(self):
        super().setUp()
        self.bytes = np.frombuffer(np.random.RandomState(5).bytes(4000), "u1")
        self.bytes.tofile(self.path("a.bin"))
        self.bytes[::-1].tofile(self.path("b.bin"))

    def csv(self, text):
        with open(self.path("list.csv"), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return RANGES % 'file = "list.csv"'

    def npy(self, array, objects='{ "a.bin", "b.bin" }'):
        np.save(self.path("list.npy"), array)
        return RANGES % ('file = "list.npy", objects = ' + objects)

    def refused(self, job, *words):
        r = self.run_lsio("-e", job)
        self.assertIn(r.code, (2, 3, 4, 8), (words, r))
        for word in words:
            self.assertRegex(r.err, word)
        self.assertNotIn("out.npy", self.left())
        return r

    def test_csv_lines(self):
        for line, word in (
                ("a.bin,-4001,4", "4000|before"), ("a.bin,0,4001", "4000"), ("a.bin,4000,1", "4000"),
                ("a.bin,4001,0", "4000"), ("a.bin,-9223372036854775808,1", "4000"),
                ("a.bin,-9223372036854775809,1", "line 2"), ("a.bin,9223372036854775808,1", "line 2"),
                ("a.bin,9223372036854775807,9223372036854775807", "4000"),
                ("a.bin,1,9223372036854775807", "4000"), ("a.bin,1,18446744073709551615", "line 2"),
                ("a.bin,99999999999999999999999,1", "line 2"), ("a.bin,nan,1", "line 2"),
                ("a.bin,NaN,1", "line 2"), ("a.bin,inf,1", "line 2"), ("a.bin,1e3,1", "line 2"),
                ("a.bin,1.5,1", "line 2"), ("a.bin,0x10,1", "line 2"), ("a.bin,,1", "line 2"),
                ("a.bin,4001,", "4000"), ("a.bin,0,-4", "line 2|length"), ("a.bin,-4001,-1", "4000"), ("a.bin,0", "line 2"),
                ("a.bin,0,1,2,3", "line 2"), (",0,1", "line 2"), ('"a.bin,0,1', "line 2"),
                ('"a.bin"x,0,1', "line 2"), ("a.bin,1 2,1", "line 2"), ("none.bin,0,1", "none.bin")):
            r = self.refused(self.csv("path,offset,length\n%s\n" % line), word)
            self.assertRegex(r.err, r"list\.csv|a\.bin|none\.bin", line)

    def test_csv_files(self):
        for text in (b"", b"\n", b"path,offset\na.bin,1\n", b"offset,length\n1,2\n", b"a.bin,0,4\n",
                     b"path,offset,Length,weight\na.bin,0,1,1\n", b"path,offset,length,path\na.bin,0,1,a.bin\n",
                     b"path,offset,length,weight\na.bin,0,1\n", b"\0" * 100, os.urandom(1000),
                     b"\x93NUMPY", b"path,offset,length\na\0.bin,0,4\n", b"path,offset,length\na.bin,\0,4\n",
                     b"path,offset,length\n" + b"x" * 100000, b"path;offset;length\na.bin;0;1\n"):
            self.refused(self.csv(text), r"list\.csv")

    def test_duplicates_overlaps_and_empty_ranges(self):
        rows = [("a.bin", 10, 100), ("a.bin", 10, 100), ("b.bin", 50, 0), ("a.bin", 60, 500),
                ("a.bin", 4000, 0), ("a.bin", -1, 1), ("b.bin", -4000, 4000), ("a.bin", 0, 0),
                ("a.bin", 109, 2), ("b.bin", 0, 4000), ("a.bin", 10, 1), ("a.bin", 0, 4000)]
        random.Random(1).shuffle(rows)
        files = {"a.bin": self.bytes, "b.bin": self.bytes[::-1]}
        expected = np.concatenate([files[p][o if o >= 0 else 4000 + o:][:n] for p, o, n in rows])
        text = "path,offset,length,tag\r\n" + "".join("%s,%d,%d,%d\r\n" % (p, o, n, i)
                                                      for i, (p, o, n) in enumerate(rows))
        names = sorted(files)
        array = np.array([(names.index(p), o, n, i) for i, (p, o, n) in enumerate(rows)], "<i8")
        arrays = (array, array[:, :3], array.astype(">i8"), np.asfortranarray(array))
        for build in [lambda: self.csv(text)] + [lambda a=a: self.npy(a) for a in arrays]:
            job = build()
            for merge in ("auto", "never", "0", "1MiB"):
                for backend in ("auto", "pread", "mapped"):
                    self.expect(0, "-j3", "--merge=" + merge, "--backend=" + backend, "--json=s.json",
                                "-e", job)
                    np.testing.assert_array_equal(np.load(self.path("out.npy")), expected)
                    s = self.summary()
                    self.assertEqual((s["chunks"], s["bytes_requested"]), (len(rows), expected.size))

    def test_npy_rows(self):
        big = 1 << 62
        for row in ((2, 0, 1), (-1, 0, 1), (1 << 32, 0, 1), (big, 0, 1), (0, 4000, 1), (0, 0, -2), (0, 4001, -1),
                    (0, -4001, 1), (0, 0, 4001), (0, big, big), (0, -big, 1), (0, 1, (1 << 63) - 1),
                    (0, -(1 << 63), 1), (0, (1 << 63) - 1, (1 << 63) - 1), (-(1 << 63), 0, 1)):
            self.refused(self.npy(np.array([(0, 0, 1), row], "<i8")), r"list\.npy|a\.bin")

    def test_npy_files(self):
        good = np.array([(0, 0, 1)] * 4, "<i8")
        for array in (good.astype("<f8"), good.astype("<i2"), good[:, :2], good[0],
                      np.zeros((2, 3, 4), "<i8"), np.zeros((4, 5), "<i8"),
                      np.array(["a"]), good.astype("?"), (good - 1).astype("<u8"), np.full((2, 3), np.nan)):
            self.refused(self.npy(array), r"list\.npy")
        self.npy(good)
        with open(self.path("list.npy"), "rb") as f:
            whole = f.read()
        job = RANGES % 'file = "list.npy", objects = { "a.bin" }'
        header = whole.index(b"\n") + 1
        lies = [whole[:n] for n in (1, 5, 7, 9, 10, 60, header, header + 1, len(whole) - 1)]
        lies += [whole.replace(b"(4, 3)", s) for s in (b"(5, 3)", b"(-4,3)", b"(4, 0)", b"(4, 3,", b"(4.,3)",
                                                       b"(9999999999999999999, 3)")]
        lies += [whole[:8] + b"\xff\xff" + whole[10:], whole[:6] + b"\x09" + whole[7:]]
        for data in lies:
            with open(self.path("list.npy"), "wb") as f:
                f.write(data)
            self.refused(job, r"list\.npy")
        np.save(self.path("list.npy"), np.zeros((0, 3), "<i8"))  # nothing is asked for: nothing is read
        self.expect(0, "-e", job)
        self.assertEqual(np.load(self.path("out.npy")).shape, (0,))

    def test_arrays_of_the_script(self):
        for arrays in ("offset = { -4001 }, length = { 1 }", "offset = { 0/0 }, length = { 1 }",
                       "offset = { 1/0 }, length = { 1 }", "offset = { 2^63 }, length = { 1 }",
                       "offset = { 2^53 }, length = { 2^53 }", "offset = { 0.5 }, length = { 1 }",
                       "offset = { 0, 1 }, length = { 1 }", "offset = { 0 }, length = { -2 }",
                       "offset = { 4001 }, length = { -1 }", "offset = { 4001 }", "offset = { -4001 }",
                       "offset = { 0 }, length = -2", "offset = { 0 }, length = { 2^53 + 2 }",
                       "offset = { 0 }, length = { 4001 }", 'offset = { "x" }, length = { 1 }',
                       "offset = { 0 }, length = { 1 }, object = { 1 }",
                       "offset = { 0 }, length = { 1 }, object = { -1 }"):
            r = self.run_lsio("-e", RANGES % ('objects = { "a.bin" }, ' + arrays))
            self.assertIn(r.code, (2, 3, 4), (arrays, r))
            self.assertNotIn("out.npy", self.left())


class Memory(RunnerTest):
    JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { objects = { "a.f32" }, offset = { 0, 4096, 12288 }, length = { 4096, 8192, %d } },
  type = "f32", sink = lsio.npy("out.npy", { exists = "replace" }), merge = "never",
  transform = function(chunk) lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 2, 0) end,
}
"""

    def test_the_largest_step_decides(self):
        values = self.data(n=3 << 20)
        large = 8 << 20
        job = self.JOB % large
        r = self.expect(9, "-j1", "--memory=1MiB", "--json=s.json", "-e", job)
        for word in ("step 2", "a.f32", "--memory", "8388608 stored"):
            self.assertIn(word, r.err)
        self.assertEqual(self.summary().get("bytes_read", 0), 0)  # before any data was read
        need = int(re.search(r"--memory (\d+)MiB", r.err).group(1))
        self.assertIn(need, range(16, 19))  # stored and output
        self.expect(9, "-j1", "--memory=%dMiB" % (need - 1), "-e", job)
        self.assertEqual(self.left(), ["a.f32", "s.json"])
        for workers in (1, 4):  # fewer run if not all have room
            self.expect(0, "-j%d" % workers, "--memory=%dMiB" % need, "--json=s.json", "-e", job)
            self.assertEqual(len(self.summary()["workers"]), 1)
            got = np.load(self.path("out.npy"))
            np.testing.assert_array_equal(got, values[:3072 + large // 4] * 2)
        plan = json.loads(self.expect(0, "--explain=json", "--memory=%dMiB" % need, "-e", job).out)
        self.assertLessEqual(plan["memory"], need << 20)

    def test_the_ceiling_holds(self):
        self.data("a.f32", n=12 << 20)  # 48 MiB
        frame = lz4_frame(np.random.RandomState(2).randint(0, 60, 1 << 20).astype("<f4").tobytes())
        for i in range(12):
            with open(self.path("%02d.lz4" % i), "wb") as f:
                f.write(frame)
        sink = 'sink = lsio.npy("out.npy", { exists = "replace" }),'
        late = """out_max = 65536, transform = function(c)
    lsio.k.copy(c.data, c.n, c.out)
    if c.index % 50 == 0 then local t = os.clock() + 0.05 while os.clock() < t do end end
    return c.n end,"""
        files = 'source = lsio.files("a.f32", { chunk = "%s" }),'
        jobs = (files % "4MiB" + sink, files % "64KiB" + sink, files % "256KiB" + sink + late,
                'source = lsio.files("*.lz4"), codec = "lz4",' + sink)
        for body in jobs:
            for mebibytes in (16, 64):
                for way in ("--direct=always", "--direct=never"):
                    self.expect(0, "-j3", "--memory=%dMiB" % mebibytes, way, "--json=s.json", "-e",
                                'local lsio = require "lsio" return lsio.job { type = "f32", %s }' % body)
                    s = self.summary()
                    room = mebibytes + 32 + 2 * len(s["workers"])
                    self.assertLessEqual(s["peak_memory"], room << 20, (body, mebibytes, way))

    def test_more_memory_never_hurts(self):
        # How much a frame decodes to is not known when the memory is shared out among workers.
        values = np.random.RandomState(1).randint(0, 50, 1 << 20).astype("<f4")
        job = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.%s"), type = "f32", codec = "%s", %s
  sink = lsio.npy("out.npy", { exists = "replace" }),
}
"""
        copy = "transform = function(c) lsio.k.copy(c.data, c.n, c.out) end,"
        for codec, encode in FRAMES.items():
            for name in "ab":
                with open(self.path(name + "." + codec), "wb") as f:
                    f.write(encode(values.tobytes()))
            for more in ("", copy, "decoded = %d, " % values.nbytes + copy):
                codes = []
                for mebibytes in (2, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 50, 64):
                    r = self.run_lsio("-j2", "--memory=%dMiB" % mebibytes, "-e",
                                      job % (codec, codec, more))
                    self.assertIn(r.code, (0, 9), r)
                    codes.append(r.code)
                    if r.code == 0:
                        np.testing.assert_array_equal(np.load(self.path("out.npy")),
                                                      np.tile(values, 2))
                self.assertEqual(codes, sorted(codes, reverse=True), (codec, more))
                self.assertEqual((codes[0], codes[-1]), (9, 0), (codec, more))


if __name__ == "__main__":
    unittest.main()
