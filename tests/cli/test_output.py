"""Outputs: names that are taken, disks that are full, stdout that is closed; and the terminal."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import unittest

import numpy as np

from support import COPY, RUNNER, STATS, RunnerTest, normal_signals


class Outputs(RunnerTest):
    def test_an_existing_output_is_kept(self):
        values = self.data()
        self.write("out.npy", "mine")
        r = self.expect(6, "-e", COPY)
        self.assertIn("out.npy", r.err)
        self.assertIn("replace", r.err)
        with open(self.path("out.npy")) as f:
            self.assertEqual(f.read(), "mine")
        self.expect(0, "-e", COPY.replace('"out.npy"', '"out.npy", { exists = "replace" }'))
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
        self.assertEqual(self.left(), ["a.f32", "out.npy"])

    def test_what_appears_under_the_name(self):
        """While the job runs: only a plain file is replaced, and only where that was asked for."""
        self.data(n=1000)
        for exists, action, part in (("replace", "mkfifo out.raw", "not a plain file"),
                                     ("replace", "mkdir out.raw", "directory"),
                                     ("error", "echo mine > out.raw", "exists already")):
            for order in ("request", "completed"):
                r = self.expect(6, "-j1", "-e", """local lsio = require "lsio"
                    return lsio.job { source = lsio.files("a.f32", { chunk = 400 }), type = "f32", out_max = 100,
                      sink = lsio.raw("out.raw", { exists = "%s", order = "%s" }),
                      transform = function(chunk)
                        if chunk.index == 3 then os.execute "%s" end
                        return 1
                      end }""" % (exists, order, action))
                self.assertIn(part, r.err)
                self.assertEqual(self.left(), ["a.f32", "out.raw"])
                subprocess.run(["rm", "-r", self.path("out.raw")], check=True)

    def test_names_of_orders(self):
        for order, part in (("any", 'order "any" is called "completed" now'),
                            ("size", 'order is "size"; valid: "completed", "request"')):
            r = self.expect(3, "-e", COPY.replace('"out.npy"', '"out.npy", { order = "%s" }' % order))
            self.assertIn(part, r.err)

    def test_missing_directory(self):
        self.data()
        r = self.expect(6, "-e", COPY.replace("out.npy", "none/out.npy"))
        self.assertIn("none/out.npy", r.err)
        self.assertIn("No such file or directory", r.err)

    def test_shape_that_does_not_fit(self):
        self.data()
        r = self.expect(2, "-e", COPY.replace('"out.npy"', '"out.npy", { shape = { 7, -1 } }'))
        self.assertIn("does not hold 1000 elements", r.err)
        self.expect(0, "-e", COPY.replace('"out.npy"', '"out.npy", { shape = { 50, -1 } }'))
        self.assertEqual(np.load(self.path("out.npy")).shape, (50, 20))

    def test_results_in_memory_are_for_programs(self):
        self.data()
        job = COPY.replace('lsio.npy("out.npy")', "lsio.memory()")
        self.assertIn("memory", job)
        r = self.expect(3, "-e", job)
        self.assertIn("lsio.npy(path)", r.err)
        self.expect(0, "--explain", "-e", job)
        self.assertEqual(self.left(), ["a.f32"])

    def test_compressed_chunks_of_known_sizes(self):
        values = self.data(n=1000)
        for i in range(4):
            part = values.tobytes()[1000 * i:1000 * (i + 1)]
            with open(self.path("part%d.zst" % i), "wb") as f:
                subprocess.run(["zstd", "-q"], input=part, check=True, stdout=f)
        job = """local lsio = require "lsio"
            return lsio.job { source = lsio.files("part*.zst", { whole = true }), type = "f32",
              codec = "zstd", decoded = 1000, sink = lsio.npy("out.npy", { shape = { 10, %d } }) }"""
        self.expect(0, "-e", job % 100)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values.reshape(10, 100))
        os.remove(self.path("out.npy"))
        os.remove(self.path("part1.zst"))
        for columns in (100, 40):  # more or less than three chunks hold: found at the end
            self.expect(6, "-e", job % columns)
        r = self.expect(8, "-e", job % 70)
        self.assertIn("a place of 200", r.err)
        self.assertIn("part3.zst", r.err)
        self.assertIn("-1 for one size", r.err)
        with open(self.path("part1.zst"), "wb") as f:  # less than its place holds
            subprocess.run(["zstd", "-q"], input=values.tobytes()[1000:1900], check=True, stdout=f)
        r = self.expect(8, "-e", job % 100)
        self.assertIn("a chunk decodes to 225 elements", r.err)
        self.assertIn("a place of 250", r.err)
        self.assertFalse(os.path.exists(self.path("out.npy")))

    def test_full_disk(self):
        self.data(n=1 << 19)
        disk = self.path("disk")
        os.mkdir(disk)
        if os.geteuid() != 0 or subprocess.call(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk],
                stderr=subprocess.DEVNULL) != 0:
            self.skipTest("no tmpfs can be mounted here")
        try:
            job = COPY.replace("out.npy", "disk/out.npy").replace('"400"', '"64KiB"')
            variable = job.replace("type =", """out_max = 16384, transform = function(chunk)
                for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
                return chunk.n
              end, type =""")
            for script in (job, variable):
                r = self.expect(6, "-e", script)
                self.assertIn("No space left on device", r.err)
                self.assertIn("disk/out.npy", r.err)
                self.assertEqual(os.listdir(disk), [])
        finally:
            subprocess.call(["umount", disk])

    def test_standard_output(self):
        self.data()
        with open("/dev/full", "w") as full:
            r = self.run_lsio("--help", stdout=full)
        self.assertEqual(r.code, 6, r)
        self.assertIn("No space left on device", r.err)
        shell = 'exec 3>&1; { "%s" -q -e "$JOB"; echo $? >&3; } | :' % RUNNER
        slow = STATS.replace("done = function(r)", "done = function(r) os.execute('sleep 0.3')")
        p = subprocess.run(["bash", "-c", shell], cwd=self.dir, env=dict(self.env, JOB=slow),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((p.stdout, p.stderr), (b"141\n", b""))
        p = subprocess.run(["bash", "-c", '"%s" -q -e "$JOB" >&-; echo $?' % RUNNER], cwd=self.dir,
                           env=dict(self.env, JOB=STATS), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(p.stdout, b"6\n", p)

    def test_why_standard_output_takes_no_more(self):
        """Whoever wrote what is lost, and whenever the C library noticed."""
        self.data()
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, full)
        said = "lsio-lua: standard output could not be written: "
        writes = ("print(1)", 'print(("x"):rep(100000))', 'io.write("x")', 'io.write(("x"):rep(65536))',
                  'io.write(("x"):rep(200000))', 'io.write("x") io.stdout:flush()')
        for write in writes:
            job = STATS.replace("print(", write + " tostring(")
            for script in (job, job.replace("state.n =", write + " state.n =")):
                r = self.expect(6, "-q", "-e", script, stdout=full)
                self.assertEqual(r.err.splitlines()[-1], said + "No space left on device")
                if write.startswith("print"):
                    self.assertRegex(r.err, r"error: -e:\d+: can't write to standard output.*: No space left on device")
                r = self.expect(6, "-q", "-e", script, before=lambda: os.close(1))
                self.assertEqual(r.err.splitlines()[-1], said + "Bad file descriptor")
        quiet = STATS.replace("print(", "tostring(")
        for args in (["--json=-", "-e", quiet], ["--explain", "-e", quiet], ["--help"], ["--doctor"]):
            self.assertEqual(self.expect(6, "-q", *args, stdout=full).err, said + "No space left on device\n")
        self.assertEqual(self.expect(6, "-q", "--json=/dev/full", "-e", quiet).err,
                         "lsio-lua: --json=/dev/full could not be written: No space left on device\n")

    def test_a_print_that_fails_stops_the_job(self):
        """As any other output; it is no failure of the step that printed."""
        self.data()
        job = COPY.replace("type =", """on_error = "skip", fill = 0, transform = function(chunk)
            print(chunk.index) end, type =""")
        with open("/dev/full", "w") as full:
            r = self.run_lsio("--errors=e.jsonl", "-e", job, stdout=full)
        self.assertEqual(r.code, 6, r)
        self.assertIn("can't write to standard output", r.err)
        self.assertEqual(self.left(), ["a.f32", "e.jsonl"])
        with open(self.path("e.jsonl")) as f:
            line = json.loads(f.readline())
        self.assertEqual((line["code"], line["kind"]), ("LSIO_ERR_OUTPUT", "no_space"))

    def test_files_of_the_runner(self):
        self.data()
        for option in ("--json=none/x", "--errors=none/x", "--json=.", "--errors=."):
            r = self.expect(6, option, "-e", COPY)
            self.assertIn(option, r.err)
            self.assertEqual(self.left(), ["a.f32"])  # found before anything was done
        r = self.expect(6, "--errors=/dev/full", "--on-error=skip", "-e", STATS.replace(
            "state.n = state.n + chunk.n", "error('no')"))
        self.assertIn("--errors=/dev/full", r.err)
        r = self.expect(0, "--json=/dev/stdout", "-e", STATS)
        self.assertIn('"status": "done"', r.out)


class Terminal(RunnerTest):
    def on_terminal(self, *args, columns=60, code=0):
        """What appears on a terminal of that width that is the runner's stderr."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        p = subprocess.Popen([RUNNER] + list(args), cwd=self.dir, stderr=slave,
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             env=dict(self.env, TERM="xterm"), preexec_fn=normal_signals)
        os.close(slave)
        seen = b""
        while True:
            ready, _, _ = select.select([master], [], [], 30)
            try:
                more = os.read(master, 65536) if ready else b""
            except OSError:
                more = b""
            if not more:
                break
            seen += more
        os.close(master)
        out = p.stdout.read()
        p.stdout.close()
        self.assertEqual(p.wait(timeout=30), code, seen)
        return seen.decode(), out.decode()

    def slow(self):
        self.data()
        return STATS.replace("state.n = state.n + chunk.n", """state.n = state.n + chunk.n
          local t = os.time() os.execute("sleep 0.15")""")

    def test_a_line_on_a_terminal(self):
        seen, out = self.on_terminal("-j1", "-e", self.slow())
        lines = [x for x in seen.split("\r") if "%" in x]
        self.assertGreaterEqual(len(lines), 3, seen)
        for line in lines:
            self.assertRegex(line, r"^ *\d+ %  .* of 3\.91 KiB  ")
            self.assertLess(len(line.replace("\x1b[K", "")), 60)
        self.assertIn("left", seen)
        # The line is gone before the summary is printed.
        self.assertIn("\r\x1b[Kdone: 10 steps", seen)
        self.assertTrue(out.startswith("result "))

    def test_failures_so_far(self):
        """They stand where a narrow terminal does not cut them off, and are steps that have ended."""
        self.data()
        job = self.slow().replace("type =", 'on_error = "skip", type =').replace("local t = os.time()", """
            if chunk.index > 0 then os.execute("sleep 0.1") error("no") end""")
        seen, _ = self.on_terminal("-j1", "--progress=always", "-e", job, columns=46, code=1)
        failed = [int(n) for n in re.findall(r"\r *\d+ %  [\d.]+ \w+ of 3\.91 KiB  (\d) failed", seen)]
        self.assertGreaterEqual(len(set(failed)), 3, seen)
        self.assertEqual(failed, sorted(failed))
        os.mkdir(self.path("d"))
        for i in range(1100):  # of so many the sizes are not known, and steps are counted
            self.data("d/%d.f32" % i, n=1)
        job = job.replace('"*.f32", { chunk = "400" }', '"d/*.f32", { whole = true }').replace(
            'os.execute("sleep 0.1")', "for i = 1, 3e6 do state.n = state.n + i end")
        seen, _ = self.on_terminal("-j2", "--progress=always", "-e", job, code=1)
        shown = re.findall(r"\r *(\d+) %  (\d+) of 1100 steps  (\d+) failed", seen)
        self.assertGreaterEqual(len(shown), 3, seen)
        for percent, done, failed in shown:
            self.assertIn(int(done) - int(failed), (0, 1))
            self.assertIn(int(percent), (int(done) * 100 // 1100, int(done) * 100 // 1100 + 1))

    def test_no_line_when_not_wanted(self):
        for option in ("--progress=never", "--quiet"):
            seen, _ = self.on_terminal(option, "-j1", "-e", self.slow())
            self.assertEqual(seen, "")

    def test_no_line_without_a_terminal(self):
        r = self.expect(0, "-j1", "-e", self.slow())
        self.assertNotIn("%", r.err)


if __name__ == "__main__":
    unittest.main()
