"""Outputs written past the page cache: the same bytes as through it, on every file system, against numpy."""
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy as np

from support import RunnerTest

# What a job makes of its elements, and what numpy makes of them.
IDENTITY = ("", lambda a, to: a.astype(to))
MAP = ("transform = function(c) lsio.k.scale_offset(c.data, c.n, c.out, 2, 1) end,",
       lambda a, to: (a.astype("f8") * 2 + 1).astype(to))
FILL = ("""fill = 7, transform = function(c)
             if c.index % 3 == 0 then return false end
             lsio.k.scale_offset(c.data, c.n, c.out, 2, 1)
           end,""", None)

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.ranges { file = "list.npy", objects = { "a.bin", "b.bin" } },
  type = "%s", %s
  sink = lsio.%s("%s", { type = "%s", exists = "replace", durability = "%s" }),
}
"""


def name_of(dtype):
    d = np.dtype(dtype)
    return d.kind + str(d.itemsize * 8) + ("be" if d.byteorder == ">" else "")


class Disk:
    """An image with a file system on it, mounted on a folder of its own."""

    def __init__(self, make, size="320m", options="loop", backing=None):
        self.where = tempfile.mkdtemp(prefix="lsio-disk-")
        self.image = tempfile.mktemp(prefix="lsio-image-", dir=backing)
        self.mounted = False
        try:
            if make[0] == "tmpfs":
                command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.where]
            else:
                subprocess.run(["truncate", "-s", size, self.image], check=True)
                subprocess.run([*make, self.image], check=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                command = ["mount", "-o", options, self.image, self.where]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            self.mounted = True
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise unittest.SkipTest(f"no {make[0]} can be made and mounted here") from None

    def close(self):
        if self.mounted:
            subprocess.call(["umount", self.where])
            self.mounted = False
        shutil.rmtree(self.where, ignore_errors=True)
        if os.path.exists(self.image):
            os.unlink(self.image)


EXT4 = ("mkfs.ext4", "-q", "-F", "-E", "nodiscard")
DISKS = {"ext4": EXT4, "ext4 of 1 KiB": (*EXT4, "-b", "1024"),
         "ext4 as ext3 was": (*EXT4, "-O", "^extents,^64bit,^has_journal"),
         "xfs": ("mkfs.xfs", "-q", "-f", "-m", "reflink=1"), "tmpfs": ("tmpfs",)}


class DirectOutputs(RunnerTest):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("LSIO_TEST_SEED") or random.randrange(1 << 31))
        self.rng = random.Random(self.seed)

    def disk(self, *args, **more):
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")
        d = Disk(*args, **more)
        self.addCleanup(d.close)
        return d

    def ranges(self, item, steps=40):
        """Ranges of all sizes in random order; few of them lie as their place in the output does."""
        size = 3 << 20
        for name in ("a.bin", "b.bin"):
            np.random.default_rng(self.rng.randrange(1 << 31)).integers(
                0, 100, size, dtype="u1").tofile(self.path(name))
        rows = []
        for _ in range(steps):
            most = self.rng.choice((1, 100, 70_000, 400_000))
            n = self.rng.randint(0 if most == 100 else 1, most)
            if self.rng.random() < 0.3:
                n = lsi_pages(n)
            n = max(1, n // item) * item if n else 0
            at = self.rng.randrange(0, size - n + 1)
            at = at // item * item if self.rng.random() < 0.5 else at // 4096 * 4096
            rows.append((self.rng.randrange(2), at, n))
        np.save(self.path("list.npy"), np.array(rows, dtype="i8"))
        return rows

    def parts(self, rows, dtype):
        files = [np.fromfile(self.path(n), dtype="u1") for n in ("a.bin", "b.bin")]
        return [files[o][at:at + n].view(dtype) for o, at, n in rows]

    def check(self, where, kind, rows, dtype, to, work, *options):
        """One job, its output against numpy; the summary."""
        code, expected = work
        out = os.path.join(where, "out.npy")
        script = JOB % (name_of(dtype), code, kind, out, name_of(to),
                        self.rng.choice(("none", "batch", "batch", "each")))
        what = f"seed {self.seed}: {options} {dtype} to {to}\n{script}"
        r = self.run_lsio("--json=s.json", *options, "-e", script)
        self.assertEqual(r.code, 0, f"{what}\n{r}")
        parts = self.parts(rows, dtype)
        if expected:
            parts = [expected(p, to) for p in parts]
        else:
            parts = [np.full(len(p), 7, to) if i % 3 == 0 else MAP[1](p, to)
                     for i, p in enumerate(parts)]
        want = np.concatenate(parts)
        got = np.load(out, mmap_mode="r") if kind == "npy" else np.fromfile(out, dtype=to)
        self.assertEqual(got.dtype, np.dtype(to), what)
        np.testing.assert_array_equal(got, want, what)
        if kind == "npy":
            self.assertEqual(got.offset, 4096)
        self.assertEqual(os.listdir(where).count("out.npy"), 1)
        s = self.summary()
        self.assertEqual(s["bytes_written"], want.nbytes)
        return s

    def on(self, where, rounds, direct):
        for i in range(rounds):
            dtype, to = self.rng.choice((("u1", "u1"), ("i1", "i1"), ("<i2", "<f4"), ("<f4", "<f4"),
                                         (">i2", "<f4"), ("<i4", "<f8"), ("<u8", "<u8"), ("u1", "<i8")))
            rows = self.ranges(np.dtype(dtype).itemsize)
            work = self.rng.choice((IDENTITY, IDENTITY, MAP, FILL))
            if work is not IDENTITY:
                dtype, to = "<i2", "<f4"
                rows = self.ranges(2)
            kind = self.rng.choice(("npy", "raw"))
            options = ["-j%d" % self.rng.randint(1, 4), "--backend=" + self.rng.choice(("uring", "pread"))]
            if self.rng.random() < 0.5:
                options.append("--memory=8MiB")
            self.check(where, kind, rows, dtype, to, work, *options, "--direct=never")
            s = self.summary()
            self.assertLessEqual(s["bytes_direct"], s["bytes_read"])  # used in the page cache, not written
            with open(os.path.join(where, "out.npy"), "rb") as f:
                buffered = f.read()
            for mode in ("auto", "always") if direct else ("auto",):
                s = self.check(where, kind, rows, dtype, to, work, *options, f"--direct={mode}")
                with open(os.path.join(where, "out.npy"), "rb") as f:
                    self.assertTrue(f.read() == buffered, f"seed {self.seed}, round {i}")
                if direct:
                    self.assertGreater(s["bytes_direct"], 0, f"seed {self.seed}, round {i}")

    def test_on_file_systems(self):
        for name, make in DISKS.items():
            with self.subTest(name):
                d = self.disk(make)
                try:
                    self.on(d.where, 2, name != "tmpfs")
                finally:
                    d.close()

    def test_here(self):
        os.mkdir(self.path("out"))
        self.on(self.path("out"), 2, False)

    def big(self, megabytes=24):
        values = np.random.default_rng(self.seed).integers(0, 100, megabytes << 19).astype("<i2")
        values.tofile(self.path("big.i16"))
        return values

    COPY = """
      local lsio = require "lsio"
      return lsio.job { source = lsio.files("big.i16", { chunk = "%s" }), type = "i16",
        sink = lsio.npy("%s", { type = "%s", exists = "replace" }) }
    """

    def test_whole_output_is_direct(self):
        d = self.disk(EXT4)
        values = self.big()
        out = os.path.join(d.where, "out.npy")
        for chunk, to in (("256KiB", "i16"), ("256KiB", "f32"), ("12MiB", "f64"), ("1000000", "i16")):
            self.expect(0, "--json=s.json", "--direct=always", "-e", self.COPY % (chunk, out, to))
            got = np.load(out, mmap_mode="r")
            np.testing.assert_array_equal(got, values)
            s = self.summary()
            edges = -(-values.nbytes // 1_000_000) * 8192 if chunk == "1000000" else 0
            self.assertGreaterEqual(s["bytes_direct"], s["bytes_read"] + got.nbytes - edges)
            self.assertLessEqual(s["bytes_direct"], s["bytes_read"] + got.nbytes)

    def test_shards(self):
        d = self.disk(EXT4)
        values = self.big()
        out = os.path.join(d.where, "{shard}.npy")
        for i in range(3):
            self.expect(0, f"--shard={i}/3", "-e", self.COPY % ("300000", out, "i16"))
        parts = [np.load(os.path.join(d.where, f"000{i}-of-0003.npy")) for i in range(3)]
        np.testing.assert_array_equal(np.concatenate(parts), values)

    def test_where_direct_writes_are_impossible(self):
        d = self.disk(EXT4, options="loop,data=journal")
        values = self.big(2)
        out = os.path.join(d.where, "out.npy")
        script = self.COPY % ("256KiB", out, "i16")
        r = self.run_lsio("--direct=always", "-e", script)
        if r.code == 0:
            self.skipTest("this kernel has direct writes with data=journal")
        self.assertIn("the file system of the output has no direct writes", r.err)
        self.assertIn(out, r.err)
        self.assertIn("--direct", r.err)
        self.assertEqual(os.listdir(d.where), ["lost+found"])
        self.expect(0, "-e", script)
        np.testing.assert_array_equal(np.load(out), values)

    def test_disk_full_before_anything_is_read(self):
        self.big()
        for make in (EXT4, DISKS["tmpfs"]):
            d = self.disk(make, size="16m")
            r = self.expect(6, "-e", self.COPY % ("256KiB", os.path.join(d.where, "out.npy"), "i16"))
            self.assertIn("No space left on device", r.err)
            self.assertIn("make room", r.err)
            self.assertEqual([n for n in os.listdir(d.where) if n != "lost+found"], [])

    def test_disk_that_fails_in_the_middle(self):
        """An ext4 image that lies sparse on a tmpfs too small for it: there is room by its own count,
        and writes fail once the tmpfs is full."""
        self.big()
        for to in ("i16", "f32"):
            below = self.disk(DISKS["tmpfs"], size="20m")
            d = self.disk(EXT4, size="64m", options="loop,errors=continue", backing=below.where)
            try:
                out = os.path.join(d.where, "out.npy")
                r = self.expect(6, "--direct=always", "-j2", "-e", self.COPY % ("256KiB", out, to))
                self.assertRegex(r.err, "an output file can't be written|did not reach the disk")
                self.assertRegex(r.err, r"object '[^']*out.npy', offset \d+, length \d+")
                # What the kernel says of it depends on whether data or metadata met it first.
                self.assertRegex(r.err, "Input/output error|No space left on device|Read-only file system")
                self.assertEqual(os.listdir(d.where), ["lost+found"])
            finally:
                d.close()

    def test_file_size_limit(self):
        self.big(4)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # noqa: E731
        r = self.expect(6, "-e", self.COPY % ("256KiB", self.path("out.npy"), "i16"), before=limit)
        self.assertIn("ulimit -f", r.err)
        self.assertEqual(self.left(), ["big.i16"])

    def test_interrupted(self):
        d = self.disk(EXT4)
        self.big(48)
        out = os.path.join(d.where, "out.npy")
        script = self.COPY % ("256KiB", out, "f32")
        script = script.replace("sink", """transform = function(c)
          if c.index == 20 then local f = io.open("begun", "w") f:close() end
          lsio.k.cast(c.data, c.n, c.out)
          local t = os.clock() while os.clock() - t < 0.01 do end
        end, sink""")
        p = self.start("-j2", "-e", script)
        limit = time.time() + 20
        while not os.path.exists(self.path("begun")) and time.time() < limit:
            self.assertIsNone(p.poll(), "it ended by itself")
            time.sleep(0.002)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual(os.listdir(d.where), ["lost+found"])


def lsi_pages(n):
    """Up to whole pages, so that some results have no partial page."""
    return -(-n // 4096) * 4096


if __name__ == "__main__":
    unittest.main()
