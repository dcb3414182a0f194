"""Chunks in frames of blosc, encoded by python-blosc and read back by numpy."""
import json
import os
import unittest

import numpy as np

from support import RunnerTest

try:
    import blosc
except ImportError:
    blosc = None

COPY = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.blosc", { whole = true }), type = "%s", codec = "blosc",
  sink = lsio.npy("out.npy", { exists = "replace" }),
}
"""

SUM = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.blosc", { whole = true }), type = "f32", codec = "blosc", on_error = "skip",
  state = "double sum, n;", reduce = { sum = "sum", n = "sum" },
  transform = function(chunk, state)
    state.sum = state.sum + lsio.k.sum(chunk.data, chunk.n)
    state.n = state.n + chunk.n
  end,
  done = function(r) print(("%%.0f %%d"):format(r.sum, r.n)) end,
}
"""


@unittest.skipUnless(blosc, "python3-blosc is not installed")
class Blosc(RunnerTest):
    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def test_every_compressor_and_shuffle(self):
        random = np.random.RandomState(3)
        for kind, size in (("u8", 1), ("i16", 2), ("f32", 4), ("f64", 8)):
            want, i = [], 0
            for name in blosc.compressor_list():
                for shuffle in (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE):
                    n = random.randint(1, 300000)
                    dtype = {"u8": "u1", "i16": "<i2", "f32": "<f4", "f64": "<f8"}[kind]
                    values = np.cumsum(random.randint(-3, 4, n)).astype(dtype)
                    self.put("%03d.blosc" % i, blosc.compress(values.tobytes(), size, random.randint(0, 10),
                                                              shuffle, name))
                    want.append(values)
                    i += 1
            self.expect(0, "-e", COPY % kind)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), np.concatenate(want))

    def test_zeros_behind_a_frame(self):
        """z5 writes chunks so."""
        values = np.cumsum(np.random.RandomState(2).randint(-3, 4, 300000)).astype("<f4")
        noise = np.frombuffer(os.urandom(100000), "<f4")
        want = []
        for i, (name, level) in enumerate((("lz4", 5), ("zlib", 5), ("zstd", 5), ("lz4", 0))):
            for tail in (1, 4096, 100000):
                part = noise if name == "zlib" and tail == 1 else values[:1000 * tail]
                frame = blosc.compress(part.tobytes(), 4, level, blosc.SHUFFLE, name)
                self.put("%d-%06d.blosc" % (i, tail), frame + bytes(tail))
                want.append(part)
        self.expect(0, "-e", COPY % "f32")
        np.testing.assert_array_equal(np.load(self.path("out.npy")).view("i4"), np.concatenate(want).view("i4"))
        n = sum(map(len, want))
        for job in (SUM % (), (SUM % ()).replace("codec =", "piece = 65536, codec =")):
            self.assertEqual(self.expect(0, "-e", job).out.split()[1], str(n))
            self.put("z.blosc", frame + bytes(100) + b"\1")
            r = self.expect(1, "-e", job)
            self.assertEqual(r.out.split()[1], str(n))
            self.assertRegex(r.said, "z.blosc: step .*: there are bytes after a blosc frame that are not zero")
            os.unlink(self.path("z.blosc"))

    def test_damaged_frames_are_skipped_and_named(self):
        values = np.arange(100000, dtype="<f4") % 1000
        frame = blosc.compress(values.tobytes(), 4, 5, blosc.SHUFFLE, "zstd")
        self.put("a.blosc", frame)
        self.put("b.blosc", frame[:-1])
        self.put("c.blosc", frame + b"x")
        self.put("d.blosc", b"\x02\x01\x81\x04" + frame[4:16] + bytes(len(frame) - 16))
        self.put("e.blosc", b"\x05" + frame[1:])
        self.put("f.blosc", b"")
        r = self.expect(1, "--errors=e.jsonl", "-e", SUM % ())
        self.assertEqual(r.out, "%d 100000\n" % int(values.sum(dtype="f8")))
        with open(self.path("e.jsonl")) as f:
            errors = {e["object"]: e for e in map(json.loads, f)}
        self.assertEqual({e["code"] for e in errors.values()}, {"LSIO_ERR_CORRUPT"})
        for name, what in (("b", "cut short"), ("c", "bytes after"), ("d", "does not lie"), ("e", "blosc2"),
                           ("f", "an empty chunk holds no blosc frame")):
            self.assertIn(what, json.dumps(errors[name + ".blosc"]))

    def test_messages_say_what_to_do(self):
        job = SUM % ()
        by_pieces = job.replace("codec =", "piece = 4096, codec =")
        values = np.arange(100000, dtype="<f4").tobytes()
        whole = blosc.compress(values, 4, 5, blosc.SHUFFLE, "lz4")

        def said(code, script, *args):
            return self.expect(code, "--on-error=fail", *args, "-e", script).err

        self.put("a.blosc", b"\x28\xb5\x2f\xfd" + whole)
        for script in (job, by_pieces):
            self.assertIn('it looks like zstd: write codec = "zstd"', said(8, script))
        self.put("a.blosc", whole[:-1])
        self.assertRegex(said(8, job), "cut short: object 'a.blosc', offset 0.*--on-error skip")
        self.put("a.blosc", whole)
        for script in (job, by_pieces):
            text = said(9, script.replace("codec =", "decoded = 399999, codec ="))
            self.assertIn("states that it decodes to 400000 bytes, but 399999 are allowed", text)
        self.assertIn("take chunks in pieces (`piece`)", said(9, job, "--memory=4KiB"))
        self.assertNotIn("`piece`", said(9, by_pieces, "--memory=4KiB"))

    def test_the_library_s_memory_is_priced(self):
        """4 MiB in one block: stored, decoded, twice a block in the library."""
        blosc.set_blocksize(4 << 20)
        try:
            values = np.cumsum(np.random.RandomState(1).randint(0, 60, 1 << 20)).astype("<f4")
            self.put("a.blosc", blosc.compress(values.tobytes(), 4, 5, blosc.SHUFFLE, "lz4"))
        finally:
            blosc.set_blocksize(0)
        job = SUM.replace("codec =", 'decoded = "4MiB", codec =') % ()
        r = self.run_lsio("-j1", "--memory=12MiB", "-e", job)
        self.assertEqual(r.code, 9, r)
        self.expect(0, "-j1", "--memory=24MiB", "--json=s.json", "-e", job)
        self.assertLess(self.summary()["peak_memory"], (24 + 32) << 20)


if __name__ == "__main__":
    unittest.main()
