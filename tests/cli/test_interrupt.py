"""Ctrl-C and its like: jobs that stop, jobs that do not, and what is left of them."""
import os
import pty
import select
import signal
import subprocess
import time
import unittest

from support import COPY, RUNNER, RunnerTest, normal_signals

# Each step says that it has begun by a file, so that the test knows when to interrupt.
SLOW = COPY.replace("type =", """
  transform = function(chunk)
    local f = io.open("begun", "w") f:close()
    local t = os.clock()
    while os.clock() - t < 0.05 do end
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  end, type =""")
ENDLESS = COPY.replace("type =", """
  transform = function(chunk)
    local f = io.open("begun", "w") f:close()
    while true do end
  end, type =""")


class Interrupts(RunnerTest):
    def interrupt(self, args, signals=(signal.SIGINT,), gap=0.1):
        """Runs until a step has begun, sends the signals; (exit code, seconds, stdout, stderr)."""
        self.data(n=100000)
        p = self.start(*args)
        limit = time.time() + 20
        while not os.path.exists(self.path("begun")) and time.time() < limit:
            self.assertIsNone(p.poll(), "it ended by itself")
            time.sleep(0.01)
        self.assertTrue(os.path.exists(self.path("begun")))
        begin = time.time()
        for i, number in enumerate(signals):
            if i:
                time.sleep(gap)
            p.send_signal(number)
        out, err = p.communicate(timeout=20)
        os.unlink(self.path("begun"))
        return p.returncode, time.time() - begin, out.decode(), err.decode()

    def test_a_job_that_stops(self):
        code, seconds, out, err = self.interrupt(["-j2", "--json=s.json", "-e", SLOW])
        self.assertEqual(code, 130, err)
        self.assertLess(seconds, 4)
        self.assertIn("interrupted after", err)
        self.assertIn("of 1000 steps", err)
        self.assertEqual(self.summary()["status"], "cancelled")
        self.assertEqual(self.left(), ["a.f32", "s.json"])  # no output, no temporary file

    def test_a_variable_sink(self):
        job = SLOW.replace("type =", "out_max = 100, type =").replace(
            "chunk.data[i] end\n", "chunk.data[i] end return chunk.n\n")
        code, _, _, err = self.interrupt(["-j2", "-e", job])
        self.assertEqual(code, 130, err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_terminate(self):
        code, _, _, err = self.interrupt(["-e", SLOW], [signal.SIGTERM])
        self.assertEqual(code, 143, err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_a_worker_that_does_not_return(self):
        code, seconds, out, err = self.interrupt(["-j1", "--json=s.json", "-e", ENDLESS])
        self.assertEqual(code, 130, err)
        self.assertGreater(seconds, 0.3)
        self.assertLess(seconds, 4)
        self.assertRegex(err, "worker 0: transform .*step 0")
        self.assertIn("a.f32", err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_workers_that_do_not_return(self):
        """Each line that is said has the runner's name."""
        job = ENDLESS.replace('"begun"', '"begun" .. chunk.index')
        self.data(n=400000)
        p = self.start("-j2", "--merge=never", "-e", job)
        limit = time.time() + 20
        while len(self.left()) < 3 and time.time() < limit:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        lines = p.communicate(timeout=20)[1].decode().splitlines()
        self.assertEqual(p.returncode, 130, lines)
        self.assertEqual(len(lines), 3, lines)
        self.assertEqual(lines[0], "lsio-lua: interrupted; stopping without waiting for")
        for i in range(2):
            self.assertRegex(lines[1 + i], r"^lsio-lua: worker %d: transform .*step \d+" % i)

    def test_a_second_signal_leaves_at_once(self):
        for first, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            fastest = 9
            for _ in range(5):  # a busy machine may be late, but not five times
                got, seconds, out, err = self.interrupt(["-j1", "-e", ENDLESS],
                                                        [first, signal.SIGINT], gap=0.05)
                self.assertEqual(got, code, err)
                self.assertRegex(err, "worker 0: transform .*step 0")
                self.assertEqual(self.left(), ["a.f32"])
                fastest = min(fastest, seconds)
                if fastest < 0.3:
                    break
            self.assertLess(fastest, 0.4)  # it did not wait out the grace of the first

    def test_endless_coordinator(self):
        for key in ("setup = function(p)", "done = function(r)"):
            job = COPY.replace("type =", key + ' local f = io.open("begun", "w") f:close() '
                               "while true do end end, type =")
            code, seconds, _, err = self.interrupt(["-e", job])
            self.assertEqual(code, 130, err)
            self.assertLess(seconds, 4)
            for name in ("out.npy", "a.f32"):
                if name in self.left():
                    os.unlink(self.path(name))
            self.assertEqual(self.left(), [])

    def test_while_files_are_listed(self):
        """The line on the terminal says so, and Ctrl-C need not wait."""
        os.mkdir(self.path("d"))
        for i in range(2000):
            self.data("d/%d.f32" % i, n=1)
        # 4,096 patterns that all list the folder: it takes long, and the workers never begin.
        job = COPY.replace("a.f32", "{.,./.}/" * 12 + "d/*")
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        p = subprocess.Popen([RUNNER, "-e", job], cwd=self.dir, stderr=slave,
                             stdin=subprocess.DEVNULL, env=dict(self.env, TERM="xterm"),
                             preexec_fn=normal_signals)
        os.close(slave)
        seen, begin = b"", None
        while True:
            ready, _, _ = select.select([master], [], [], 30)
            try:
                more = os.read(master, 65536) if ready else b""
            except OSError:
                more = b""
            if not more:
                break
            seen += more
            if begin is None and b" found" in seen:
                begin = time.time()
                p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(timeout=30), 130, seen)
        self.assertIsNotNone(begin, seen)
        self.assertLess(time.time() - begin, 4)
        self.assertRegex(seen.decode(), r"listing files: [1-9]\d* found")
        self.assertIn("interrupted", seen.decode())

    def test_nobody_reads_what_the_job_prints(self):
        job = SLOW.replace("local t =", "print(string.rep('x', 100000)) local t =")
        self.data(n=100000)
        p = self.start("-j1", "-e", job)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        time.sleep(1)  # the pipe is full by now
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(timeout=5), 130)
        os.unlink(self.path("begun"))
        self.assertEqual(self.left(), ["a.f32"])

    def test_ignored_signals_stay_ignored(self):
        self.data()
        self.env["JOB"] = COPY
        p = subprocess.run(
            ["bash", "-c",
             'trap "" INT; "%s" -q -e "$JOB" & pid=$!; kill -INT $pid; wait $pid' % RUNNER],
            cwd=self.dir, env=self.env, stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(p.returncode, 0, p)


if __name__ == "__main__":
    unittest.main()
