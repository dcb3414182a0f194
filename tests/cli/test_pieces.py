"""`piece`: large chunks decoded and transformed piece by piece, against numpy."""
import gzip
import json
import os
import shutil
import subprocess
import unittest
import zlib

import numpy as np

from support import RunnerTest

try:
    import blosc
except ImportError:
    blosc = None

# Checks where each piece is, counts calls and chunks.
STATS = """
local lsio = require "lsio"
local at, random
return lsio.job {
  source = lsio.files("*.in", { whole = true }), type = "%(type)s", codec = "%(codec)s",
  %(more)s
  state = "double sum, n, calls, chunks, random;",
  reduce = { sum = "sum", n = "sum", calls = "sum", chunks = "sum", random = "sum" },
  transform = function(chunk, state)
    if chunk.first then at = 0 end
    assert(chunk.pos == %(pos)s and chunk.scratch.n == chunk.n and chunk.object_size == chunk.length)
    at = at + chunk.n
    state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)
    state.n = state.n + chunk.n
    state.calls = state.calls + 1
    if chunk.last then state.chunks = state.chunks + 1 end
    for i = 1, chunk.n / 1024 do state.random = state.random + chunk.random(1000) end
    %(body)s
  end,
  done = function(r)
    print(("%%.0f %%d %%d %%d %%.0f"):format(r.sum, r.n, r.calls, r.chunks, r.random))
  end,
}
"""

MAP = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.in", { whole = true }), type = "%(type)s", codec = "%(codec)s",
  sink = lsio.npy("out.npy", { type = "f64", exists = "replace" %(sink)s }),
  %(more)s
  transform = function(chunk)
    local n = 0
    %(body)s
  end,
}
"""


def encode(codec, data, block=64):
    """Frames whose blocks hold 64 KiB (zstd: whose window is that large)."""
    if codec == "none":
        return data
    if codec == "gzip":  # two members
        return gzip.compress(data[:len(data) // 3]) + gzip.compress(data[len(data) // 3:])
    if codec == "zlib":
        return zlib.compress(data)
    if codec == "blosc":
        blosc.set_blocksize(block << 8)  # times the element's size
        try:
            return blosc.compress(data, 4, 5, blosc.SHUFFLE, "lz4")
        finally:
            blosc.set_blocksize(0)
    how = (["zstd", "-q", "-c", "-3", "--zstd=windowLog=16", "--check"] if codec == "zstd"
           else ["lz4", "-q", "-c", "-B4", "-BD", "-BX", "-"])
    return subprocess.run(how, input=data, stdout=subprocess.PIPE, check=True).stdout


CODECS = [c for c in ("none", "lz4", "zstd") if c == "none" or shutil.which(c)] + ["gzip", "zlib"] + ["blosc"] * bool(blosc)


class Pieces(RunnerTest):
    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def values(self, n, seed=1):
        return (np.cumsum(np.random.RandomState(seed).randint(-3, 4, n)) % 5000).astype("<f4")

    def stats(self, code=0, args=(), **how):
        how = dict({"type": "f32", "codec": "none", "more": "", "body": "", "pos": "at"}, **how)
        r = self.run_lsio(*args, "-e", STATS % how)
        self.assertEqual(r.code, code, r)
        return [int(x) for x in r.out.split()], r

    def map(self, code=0, args=(), **how):
        how = dict({"type": "f32", "codec": "none", "more": "", "body": "", "sink": ""}, **how)
        r = self.run_lsio(*args, "-e", MAP % how)
        self.assertEqual(r.code, code, r)
        return r

    def test_every_codec_sees_all_of_it_in_order(self):
        data = [self.values(n, n) for n in (1, 1000, 32768, 300000, 500001)]
        for codec in CODECS:
            for i, v in enumerate(data):
                self.put("%d.in" % i, encode(codec, v.tobytes()))
            want = [int(sum(v.sum(dtype="f8") for v in data)), sum(len(v) for v in data)]
            whole, _ = self.stats(codec=codec, pos=-1)
            self.assertEqual(whole[:4], want + [5, 5], codec)
            got, _ = self.stats(codec=codec, more='piece = "64KiB",')
            size = 16384
            calls = 1 + 1 + 2 + -(-300000 // size) + -(-500001 // size)
            if codec == "lz4":  # of 1 block and without a size: its last piece is found to be one late
                self.assertLessEqual(abs(got[2] - calls), 1)
                got[2] = calls
            self.assertEqual(got[:4], want + [calls, 5], codec)
            got, _ = self.stats(codec=codec, more='piece = "1GiB",')
            self.assertEqual(got[:4], want + [5, 5], codec)

    def test_random_goes_on_from_piece_to_piece(self):
        self.put("a.in", self.values(1 << 18).tobytes())
        whole, _ = self.stats(pos=-1)
        pieces, _ = self.stats(more='piece = "256KiB",')
        self.assertEqual((whole[2], pieces[2]), (1, 4))
        self.assertEqual(whole[4], pieces[4])

    def test_fixed_places(self):
        """Also from big-endian elements, and where `decoded` and a shape make the place known."""
        data = [self.values(n, n) for n in (200000, 5, 100000)]
        body = """assert(chunk.pos >= 0)
          for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] * 2 + (chunk.pos + i) % 7 end"""
        want = np.concatenate(data).astype("f8") * 2
        want += np.arange(len(want)) % 7
        for kind, dtype in (("f32", "<f4"), ("f32be", ">f4")):
            for i, v in enumerate(data):
                self.put("%d.in" % i, v.astype(dtype).tobytes())
            for memory in ("--memory=256MiB", "--memory=4MiB"):  # results whole past the page cache, or not
                self.map(0, ("-j1", memory), type=kind, more='piece = "64KiB",', body=body)
                np.testing.assert_array_equal(np.load(self.path("out.npy")), want)
        for codec in CODECS[1:]:
            for kind, dtype in (("f32", "<f4"), ("f32be", ">f4")):
                for i in range(3):
                    self.put("%d.in" % i, encode(codec, data[0].astype(dtype).tobytes()))
                want = np.tile(data[0].astype("f8"), 3) * 2
                want += np.arange(len(want)) % 7
                self.map(type=kind, codec=codec, more='piece = "64KiB", decoded = 800000,',
                         sink=", shape = { 3, 200000 }", body=body)
                np.testing.assert_array_equal(np.load(self.path("out.npy")).ravel(), want)
            self.put("1.in", encode(codec, data[2].tobytes()))
            r = self.map(8, codec=codec, more='piece = "64KiB", decoded = 800000,',
                         sink=", shape = { 3, 200000 }", body=body)
            self.assertIn("leave it a place of 200000", r.err)

    def test_results_of_pieces_are_put_together(self):
        data = [self.values(n, n) for n in (200000, 100, 50000)]
        all_of = np.concatenate(data)
        for codec in CODECS[1:]:
            for i, v in enumerate(data):
                self.put("%d.in" % i, encode(codec, v.tobytes()))
            self.map(codec=codec, more='piece = "64KiB",',
                     body="for i = 0, chunk.n - 1 do chunk.out[i] = -chunk.data[i] end")
            np.testing.assert_array_equal(np.load(self.path("out.npy")), -all_of.astype("f8"))
            few = """for i = 0, chunk.n - 1 do
                if chunk.data[i] > 4000 then chunk.out[n] = chunk.data[i]; n = n + 1 end
              end
              return n > 0 and n"""
            self.map(codec=codec, more='piece = "64KiB", out_max = 200000,', body=few)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), all_of[all_of > 4000])
            # out_max is of the whole step
            most = max(int((v > 4000).sum()) for v in data)
            self.map(codec=codec, more='piece = "64KiB", out_max = %d,' % most, body=few)
            r = self.map(7, codec=codec, more='piece = "64KiB", out_max = %d,' % (most - 1), body=few)
            self.assertIn("out of range", r.err)

    def test_nothing_from_one_piece(self):
        v = self.values(65536)
        self.put("a.in", v.tobytes())
        body = """if chunk.pos == 16384 then return false end
          for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end"""
        want = v.astype("f8")
        want[16384:32768] = -1
        for memory in ("--memory=256MiB", "--memory=2MiB"):
            self.map(0, ("-j1", memory), more='piece = "64KiB", fill = -1,', body=body)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), want)

    def test_a_failure_in_the_third_piece_undoes_all(self):
        good, bad = self.values(150000, 1), self.values(150000, 2)
        for codec in CODECS:
            self.put("a.in", encode(codec, good.tobytes()))
            self.put("b.in", encode(codec, bad.tobytes()))
            more = 'piece = "64KiB", on_error = "skip",'
            got, _ = self.stats(1, codec=codec, more=more,
                                body='if chunk.index == 1 and at > 40000 then error("third") end')
            self.assertEqual(got[:2], [int(good.sum(dtype="f8")), 150000], codec)
            self.assertEqual(got[3], 1, codec)
        for codec in CODECS[1:]:  # damage where the third piece is, or a checksum at the end
            frame = bytearray(encode(codec, bad.tobytes()))
            places = [len(frame) * 2 // 3] + ([len(frame) - 1] if codec != "blosc" else [])
            for place in places:
                damaged = bytearray(frame)
                damaged[place:place + 8] = b"\xff" * len(damaged[place:place + 8])
                self.put("a.in", bytes(damaged))
                self.put("b.in", encode(codec, good.tobytes()))
                more = 'piece = "64KiB", on_error = "skip",'
                got, _ = self.stats(1, ("-j1", "--errors=e.jsonl"), codec=codec, more=more)
                if codec == "blosc" and got[1] == 300000:
                    continue  # it has no checksum
                self.assertEqual(got[:2], [int(good.sum(dtype="f8")), 150000], codec)
                with open(self.path("e.jsonl")) as f:
                    e = json.loads(f.read())
                self.assertEqual((e["code"], e["object"]), ("LSIO_ERR_CORRUPT", "a.in"))
                r, _ = self.stats(8, ("-j1",), codec=codec, more='piece = "64KiB",')

    def test_the_place_of_a_skipped_step_is_filled(self):
        v = self.values(150000)
        for name in "abc":
            self.put(name + ".in", v.tobytes())
        self.map(1, more='piece = "64KiB", on_error = "skip", fill = -1,',
                 body="""for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
                   if chunk.index == 1 and chunk.last then error("late") end""")
        out = np.load(self.path("out.npy")).reshape(3, -1)
        np.testing.assert_array_equal(out[0], v)
        np.testing.assert_array_equal(out[1], -1)
        np.testing.assert_array_equal(out[2], v)

    def test_no_whole_number_of_elements(self):
        self.put("a.in", self.values(150000).tobytes() + b"x")
        _, r = self.stats(8, more='piece = "64KiB",')
        self.assertIn("600001 decoded bytes are no whole number", r.err)

    def test_records_need_a_stream(self):
        self.put("a.in", self.values(150000).tobytes())
        _, r = self.stats(7, more='piece = "64KiB",', body='return "text"')
        self.assertIn("no stream to take it", r.err)
        self.assertIn("keep it in the state", r.err)

    def test_little_memory(self):
        """256 MiB a chunk in 256 KiB pieces under a ceiling of 12 MiB."""
        zeros = bytes(256 << 20)
        for codec in CODECS[1:]:
            self.put("a.in", encode(codec, zeros, block=256))
            size = os.path.getsize(self.path("a.in"))
            args = ("-j1", "--memory=12MiB", "--json=s.json")
            got, _ = self.stats(0, args, codec=codec, more='piece = "256KiB",')
            self.assertEqual(got[:4], [0, 64 << 20, 1024, 1], codec)
            self.assertLess(size, 8 << 20)
            self.assertLess(self.summary()["peak_memory"], (12 + 34) << 20, codec)
            self.stats(9, args, codec=codec, pos=-1)
            self.stats(9, args, codec=codec, more='piece = "256KiB", decoded = "255MiB",')

    @unittest.skipUnless(blosc, "python3-blosc is not installed")
    def test_a_large_single_block_must_fit(self):
        blosc.set_blocksize(16 << 20)
        try:
            self.put("a.in", blosc.compress(bytes(16 << 20), 4, 5, blosc.SHUFFLE, "zstd"))
        finally:
            blosc.set_blocksize(0)
        more = 'piece = "64KiB", decoded = "16MiB",'
        _, r = self.stats(9, ("-j1", "--memory=12MiB"), codec="blosc", more=more)
        self.assertIn("states that it decodes to 16777216 bytes", r.err)
        got, _ = self.stats(0, ("-j1", "--memory=128MiB"), codec="blosc", more=more)
        self.assertEqual(got[1:4], [4 << 20, 1, 1])

    def test_what_piece_may_be(self):
        self.put("a.in", b"")
        for more, say in (("piece = 6,", "no multiple of the 4 bytes of a f32"),
                          ('piece = "3 furlongs",', "piece must be a size"),
                          ("piece = 0,", "piece must be a size"),
                          ("peice = 64,", 'did you mean "piece"?')):
            _, r = self.stats(3, more=more)
            self.assertIn(say, r.err)
        r = self.expect(3, "-e", 'return require "lsio".job { source = require "lsio".files("a.in"), piece = 4 }')
        self.assertIn("there is no transform", r.err)


if __name__ == "__main__":
    unittest.main()
