"""Files that are truncated, extended, rewritten, punched and replaced while a job reads them: what a job
delivers is what they held at one moment, or it fails and names the file. Never a crash, never a mixture.
LSIO_STRESS_SECONDS says how long (4)."""
import ctypes
import os
import random
import subprocess
import threading
import time
import unittest

from support import RUNNER, RunnerTest

SIZE = 8 << 20
SECONDS = float(os.environ.get("LSIO_STRESS_SECONDS") or 4)
JOB = """local lsio = require "lsio"
return lsio.job { source = lsio.files("a.u8", { chunk = "64KiB" }), type = "u8",
  sink = lsio.raw("out", { exists = "replace" }),
  state = "double sum;", reduce = { sum = "sum" },
  transform = function(chunk, state)
    lsio.k.copy(chunk.data, chunk.n, chunk.out)
    local till = os.clock() + 0.0003
    while os.clock() < till do state.sum = state.sum + lsio.k.sum(chunk.data) end
  end }"""


def punch(fd, offset, length):
    libc = ctypes.CDLL(None, use_errno=True)
    keep_size_punch = 3
    return libc.fallocate(fd, keep_size_punch, ctypes.c_long(offset), ctypes.c_long(length))


class Changing(RunnerTest):
    def setUp(self):
        super().setUp()
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.rng = random.Random(int(os.environ.get("LSIO_STRESS_SEED") or self.seed))
        block = self.rng.randbytes(1 << 20)
        self.old = b"".join(bytes([i]) + block[1:] for i in range(SIZE >> 20))

    def fresh(self):
        with open(self.path("new"), "wb") as f:
            f.write(self.old)
        os.rename(self.path("new"), self.path("a.u8"))

    def change(self):
        """Does one of them; every state that the file has had since."""
        old, at = self.old, self.rng.randrange(SIZE)
        how = self.rng.choice(("truncate", "restore", "append", "rewrite", "replace", "punch"))
        path = self.path("a.u8")
        if how in ("truncate", "restore"):
            os.truncate(path, at)
            states = [old[:at]]
            if how == "restore":
                os.truncate(path, SIZE)
                states.append(old[:at] + bytes(SIZE - at))
            return how, states
        if how == "replace":
            other = self.rng.randbytes(4096) * (SIZE // 4096)
            with open(self.path("new"), "wb") as f:
                f.write(other)
            os.rename(self.path("new"), path)
            return how, [other]
        with open(path, "r+b", buffering=0) as f:
            if how == "append":
                f.seek(SIZE)
                f.write(b"more")
                return how, [old + b"more"]
            n = min(self.rng.randrange(1, 1 << 20), SIZE - at)
            if how == "punch":
                return how, [old[:at] + bytes(n) + old[at + n:]] if punch(f.fileno(), at, n) == 0 else []
            f.seek(at)
            f.write(b"\xee" * n)
            return how, [old[:at] + b"\xee" * n + old[at + n:]]

    def one(self, backend):
        self.fresh()
        run = subprocess.Popen([RUNNER, "-q", "-j2", "--backend=" + backend, "--json=s.json", "-e", JOB],
                               cwd=self.dir, stderr=subprocess.PIPE, env=self.env)
        time.sleep(self.rng.random() * 0.12)
        how, states = self.change()
        err = run.communicate(timeout=60)[1].decode()
        what = (self.seed, backend, how, run.returncode, err)
        self.assertIn(run.returncode, (0, 4), what)
        if run.returncode == 4:
            self.assertIn("a.u8", err, what)
            self.assertFalse(os.path.exists(self.path("out")), what)
            self.assertIsNone(self.summary()["state"], what)
            return 4
        with open(self.path("out"), "rb") as f:
            out = f.read()
        self.assertTrue(out == self.old or out in states, what)
        os.unlink(self.path("out"))
        return 0

    def test_every_byte_is_right_or_the_job_fails(self):
        seen = {0: 0, 4: 0}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or min(seen.values()) == 0:
            for backend in ("mapped", "auto"):
                seen[self.one(backend)] += 1
        print("changing sources: %d right, %d failed" % (seen[0], seen[4]))


class Replaced(RunnerTest):
    JOB = """local lsio = require "lsio"
      return lsio.job { source = lsio.files("a.u8", { chunk = "64KiB" }), type = "u8",
        state = "double sum;", reduce = { sum = "sum" },
        transform = function(chunk, state)
          if chunk.index == 1 then assert(os.execute "%s" == 0) end
          state.sum = state.sum + lsio.k.sum(chunk.data)
        end }"""

    def test_name_of_another_file(self):
        """Of the same size and time; also where the old one lives on under another name."""
        for backend in ("uring", "pread", "mapped"):
            for action in ("mv b.u8 a.u8", "ln a.u8 old && mv b.u8 a.u8"):
                for name in ("a.u8", "b.u8"):
                    self.write(name, name[0] * (256 << 10))
                os.utime(self.path("b.u8"), ns=(0, os.stat(self.path("a.u8")).st_mtime_ns))
                r = self.expect(4, "-j1", "--backend=" + backend, "-e", self.JOB % action)
                self.assertRegex(r.err, "a source was replaced( or deleted)? while the job was running")
                self.assertIn("a.u8", r.err)
            os.unlink(self.path("old"))


class ManyChanging(RunnerTest):
    """Small files, each of one byte value, that somebody writes anew while they are read: no step may see
    two values in one, unless the job fails."""
    N, BYTES = 1100, 12000
    JOB = """local lsio = require "lsio"
      return lsio.job { source = lsio.files("d/*", { whole = true }), type = "u8",
        state = "double seen, mixed;", reduce = { seen = "sum", mixed = "sum" },
        transform = function(chunk, state)
          if chunk.n == 0 then return end
          local low, high = lsio.k.minmax(chunk.data)
          state.seen = state.seen + 1
          if low ~= high then state.mixed = state.mixed + 1 end
        end }"""

    def name(self, i):
        return self.path("d/%04d" % i)

    def change(self, rng):
        value = bytes([rng.randrange(256)]) * self.BYTES
        name, how = self.name(rng.randrange(self.N)), rng.randrange(3)
        if how == 0:  # in place
            with open(name, "r+b", buffering=0) as f:
                f.write(value)
            return
        with open(self.path("new") if how == 1 else name, "wb", buffering=0) as f:
            f.write(value)
        if how == 1:
            os.rename(self.path("new"), name)

    def change_until(self, ended):
        rng = random.Random(7)
        while not ended.wait(0.008):
            self.change(rng)

    def test_no_file_is_seen_half_written(self):
        os.mkdir(self.path("d"))
        for i in range(self.N):
            with open(self.name(i), "wb") as f:
                f.write(bytes([i % 256]) * self.BYTES)
        time.sleep(4)  # from then on they are read as they are opened
        ended = threading.Event()
        writer = threading.Thread(target=self.change_until, args=(ended,))
        writer.start()
        codes = {0: 0, 4: 0}
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                r = self.run_lsio("-q", "-j2", "--json=s.json", "-e", self.JOB)
                self.assertIn(r.code, codes, r)
                codes[r.code] += 1
                if r.code == 0:
                    self.assertEqual(self.summary()["state"]["mixed"], 0)
        finally:
            ended.set()
            writer.join()
        self.assertGreater(codes[0], 0)
        print("many changing sources: %d right, %d failed" % (codes[0], codes[4]))


if __name__ == "__main__":
    unittest.main()
