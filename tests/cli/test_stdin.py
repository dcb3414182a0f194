"""Data from standard input: in order, as it comes, by several workers, without an end that anybody knows."""
import os
import signal
import subprocess
import time
import unittest

import numpy as np

from support import RunnerTest

SUM = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.stdin { chunk = "%(chunk)s" }, type = "%(type)s", %(more)s
  state = "double n, sum, bytes, last;",
  transform = function(c, s)
    s.n, s.sum, s.bytes = s.n + 1, s.sum + lsio.k.sum(c.data, c.n), s.bytes + c.bytes
    assert(c.offset == c.index * lsio.k.sum(c.data, 0) + c.index * %(bytes)d and c.object_size == math.huge)
    assert(c.name == "standard input", c.name)
    s.last = math.max(s.last, c.index)
  end,
  reduce = { n = "sum", sum = "sum", bytes = "sum", last = "max" },
  done = function(r, info)
    print(("%%d %%d %%.0f %%d %%d %%d"):format(r.n, r.bytes, r.sum, r.last, info.steps, info.bytes_requested))
  end,
}
"""

COPY = """
local lsio = require "lsio"
return lsio.job { source = lsio.stdin { chunk = "%(chunk)s" }, type = "%(type)s", %(more)s
                  sink = lsio.%(sink)s }
"""


class StdinTest(RunnerTest):
    def sum_job(self, chunk=4096, dtype="u8", more=""):
        return self.write("sum.lua", SUM % {"chunk": chunk, "type": dtype, "more": more, "bytes": chunk})

    def copy_job(self, chunk="4KiB", dtype="u8", sink='raw("out")', more=""):
        return self.write("copy.lua", COPY % {"chunk": chunk, "type": dtype, "sink": sink, "more": more})

    def fed(self, parts, *args, pause=0):
        """Runs with standard input a pipe into which the parts are written one by one."""
        p = self.start(*args, stdin=subprocess.PIPE)
        for part in parts:
            p.stdin.write(part)
            p.stdin.flush()
            time.sleep(pause)
        out, err = p.communicate(timeout=60)
        return p.returncode, out.decode(), err.decode()

    def end(self, p, code):
        """Waits for one that does not wait for the end of its standard input; what it said."""
        err = p.stderr.read()
        for f in (p.stdin, p.stdout, p.stderr):
            f.close()
        self.assertEqual(p.wait(timeout=30), code, err)
        return err

    def expected(self, data, chunk):
        n = max(1, -(-len(data) // chunk))
        return "%d %d %d %d %d %d\n" % (n, len(data), np.frombuffer(data, np.uint8).sum(dtype=np.uint64),
                                        n - 1, n, len(data))

    def random(self, n, seed=1):
        return np.random.default_rng(seed).integers(0, 256, n, np.uint8).tobytes()

    def test_every_size_is_seen_once_and_whole(self):
        for chunk in (1, 7, 4096, 65536, 1 << 20, 3 << 20):
            job = self.sum_job(chunk)
            many = [64 * min(chunk, 9999), 1500 * min(chunk, 999) + 3]
            for size in [0, 1, chunk - 1, chunk, chunk + 1] + many:
                data = self.random(size)
                for workers in ("1", "3"):
                    code, out, err = self.fed([data], "-j" + workers, job)
                    self.assertEqual((code, out), (0, self.expected(data, chunk)), (chunk, size, err))

    def test_it_comes_in_bits_and_is_waited_for(self):
        data = self.random(100000)
        rng = np.random.default_rng(2)
        cuts = [0] + sorted(rng.integers(0, len(data), 30).tolist()) + [len(data)]
        parts = [data[a:b] for a, b in zip(cuts, cuts[1:])]
        code, out, err = self.fed(parts, self.sum_job(4096), pause=0.003)
        self.assertEqual((code, out), (0, self.expected(data, 4096)), err)

    def test_a_file_and_nothing_are_standard_input_too(self):
        data = self.random(300001)
        with open(self.path("a.bin"), "wb") as f:
            f.write(data)
        with open(self.path("a.bin"), "rb") as f:
            r = self.expect(0, self.sum_job(4096), stdin=f)
        self.assertEqual(r.out, self.expected(data, 4096))
        r = self.expect(0, self.sum_job(4096), stdin=subprocess.DEVNULL)
        self.assertEqual(r.out, self.expected(b"", 4096))
        with open("/dev/zero", "rb") as f:
            r = self.expect(0, "--limit", "100", self.sum_job(4096), stdin=f)
        self.assertEqual(r.out, self.expected(bytes(409600), 4096))

    def test_outputs_stand_in_order(self):
        data = self.random(4 * 1000003)
        for sink, read in (('raw("out")', lambda: np.fromfile(self.path("out"), np.uint8).tobytes()),
                           ('npy("out")', lambda: np.load(self.path("out")).tobytes())):
            for kind in ("u8", "i32"):
                code, _, err = self.fed([data], "--replace", self.copy_job("10000", kind, sink))
                self.assertEqual(code, 0, err)
                self.assertEqual(read(), data)
        job = self.copy_job("1000", "i16", 'npy("out", { type = "f32" })')
        code, _, err = self.fed([data[:4000000]], "--replace", job)
        self.assertEqual(code, 0, err)
        self.assertTrue((np.load(self.path("out")) == np.frombuffer(data[:4000000], "<i2")).all())

    def test_a_transform_chooses_how_much_it_passes_on(self):
        values = np.random.default_rng(3).integers(-999, 999, 200000).astype("<i4")
        job = self.write("positive.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.stdin { chunk = "1000" }, type = "i32", out_max = 250,
              transform = function(c)
                local n = 0
                for i = 0, c.n - 1 do
                  if c.data[i] > 0 then c.out[n] = c.data[i] n = n + 1 end
                end
                return n
              end,
              sink = lsio.npy("out.npy") }""")
        code, _, err = self.fed([values.tobytes()], job)
        self.assertEqual(code, 0, err)
        self.assertTrue((np.load(self.path("out.npy")) == values[values > 0]).all())

    def test_more_than_memory_goes_through(self):
        job = self.write("sum.lua", SUM % {"chunk": "1MiB", "type": "u8", "more": "", "bytes": 1 << 20})
        producer = subprocess.Popen(["head", "-c", str(3 << 30), "/dev/zero"], stdout=subprocess.PIPE)
        r = self.expect(0, "--memory", "64MiB", "--json=s.json", job, stdin=producer.stdout)
        producer.stdout.close()
        self.assertEqual(producer.wait(), 0)
        self.assertEqual(r.out, "3072 %d 0 3071 3072 %d\n" % (3 << 30, 3 << 30))
        s = self.summary()
        self.assertLess(s["peak_memory"], 100 << 20)
        self.assertEqual((s["backend"], s["bytes_read"]), ("stream", 3 << 30))

    def test_a_limit_ends_who_writes(self):
        with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as producer:
            r = self.expect(0, "--limit", "3", self.sum_job(4096), stdin=producer.stdout)
            producer.stdout.close()
            self.assertEqual(producer.wait(timeout=30), -signal.SIGPIPE)
        self.assertTrue(r.out.startswith("3 12288 "), r)

    def test_what_it_cannot_be_is_said(self):
        for args, code, words in ((["--shard", "0/2"], 2, "write it to a file"),
                                  (["--step", "3"], 2, "write it to a file")):
            r = self.expect(code, *args, self.sum_job())
            self.assertIn(words, r.err)
        for how, words in (('"-"', "lsio.list"), ('{ "a" }', "lsio.list"), ('{ chnk = 1 }', "chunk"),
                           ('{ chunk = "2GiB" }', "1 GiB"), ('{ chunk = 0 }', "chunk")):
            job = self.write("bad.lua", 'local lsio = require "lsio"\n'
                             'return lsio.job { source = lsio.stdin(%s), transform = function() end }' % how)
            self.assertIn(words, self.expect(3, job).err)
        r = self.expect(3, self.copy_job(more='codec = "zstd",'))
        self.assertIn("zstd -dc", r.err)
        r = self.expect(4, self.sum_job(), before=lambda: os.close(0))
        self.assertIn("standard input is closed", r.err)
        fd = os.open(self.dir, os.O_RDONLY)
        r = self.expect(5, self.sum_job(), stdin=fd)
        os.close(fd)
        self.assertIn("'standard input', offset 0", r.err)
        r = self.expect(8, self.copy_job("8", "i32"), input="12345678901")
        self.assertIn("no whole number of elements", r.err)
        with open(self.sum_job()) as f:
            r = self.run_lsio("-", input=f.read())
        self.assertIn("standard input held the script", r.err)

    def test_steps_that_fail_are_left_out(self):
        job = self.write("some.lua", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.stdin { chunk = "100" }, on_error = "skip", out_max = 100,
              transform = function(c)
                if c.index %% 10 == 3 then error("no") end
                for i = 0, c.n - 1 do c.out[i] = c.data[i] end
                return c.n
              end,
              sink = lsio.raw("out") }""".replace("%%", "%"))
        data = self.random(100050)
        code, _, err = self.fed([data], "--errors=e.jsonl", job)
        self.assertEqual(code, 1, err)
        want = b"".join(data[i:i + 100] for i in range(0, len(data), 100) if i // 100 % 10 != 3)
        with open(self.path("out"), "rb") as f:
            self.assertEqual(f.read(), want)
        with open(self.path("e.jsonl")) as f:
            self.assertEqual(len(f.readlines()), 100)

    def test_a_deadline_keeps_what_came(self):
        p = self.start("--deadline", "1s", "--on-error", "skip", self.copy_job("100"), stdin=subprocess.PIPE)
        p.stdin.write(b"x" * 1050)
        p.stdin.flush()
        err = self.end(p, 9)
        with open(self.path("out"), "rb") as f:
            self.assertEqual(f.read(), b"x" * 1000)
        self.assertIn(b"not run", err)

    def test_an_idle_one_is_interrupted_at_once(self):
        p = self.start(self.copy_job(), stdin=subprocess.PIPE)
        p.stdin.write(b"x" * 10000)
        p.stdin.flush()
        time.sleep(0.5)
        began = time.monotonic()
        p.send_signal(signal.SIGINT)
        self.assertIn(b"interrupted after 2 steps; nothing", self.end(p, 130))
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(self.left(), ["copy.lua"])

    def test_a_plan_says_what_is_known(self):
        r = self.expect(0, "--explain", "--limit", "9", self.sum_job())
        self.assertIn("standard input in steps of 4 KiB, until it ends, at most 9", r.out)
        r = self.expect(0, "--explain=json", self.sum_job())
        self.assertIn('"steps": null', r.out)

    def test_progress_has_no_end_to_show(self):
        p = self.start("--progress", "always", self.sum_job(), stdin=subprocess.PIPE, env={"TERM": "dumb"})
        out, err = p.communicate(b"x" * 5000, timeout=60)
        self.assertEqual(p.returncode, 0, err)
        self.assertNotIn(b"18446744073709551615", err)
        self.assertIn(b"2 steps", err)


if __name__ == "__main__":
    unittest.main()
