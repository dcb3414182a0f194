"""Lists that never end, or that come as slowly as somebody types: they take no more memory than a list may, and
deadline and Ctrl-C end them."""
import os
import resource
import signal
import subprocess
import threading
import unittest

from support import RunnerTest, normal_signals

JOB = "local lsio = require 'lsio' return lsio.job { source = %s, transform = function() end }"
ADDRESSES = 4 << 30  # more than any of these needs; less than a list without end takes


def confined():
    normal_signals()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


class EndlessLists(RunnerTest):
    def fails(self, code, source, *words, options=(), **more):
        r = self.expect(code, *options, "-e", JOB % source, before=confined, **more)
        for word in words:
            self.assertIn(word, r.said)
        return r

    def test_what_has_no_lines_is_no_list(self):
        for source, remedy in (('lsio.list("/dev/zero")', "nul = true"), ('lsio.ranges { file = "/dev/zero" }', "CSV or .npy")):
            self.fails(9, source, "line 1 of a list is longer than", "object '/dev/zero'", remedy)
        with open(self.path("names"), "w") as f:
            f.write("a\n\nb\n" + 3000000 * "x")
        self.fails(9, 'lsio.list("names")', "line 4 of a list is longer than", "object 'names'")
        self.fails(9, 'lsio.list("names", { nul = true })', "name 1 of a list is longer than")
        with open(self.path("names"), "rb") as f:
            self.fails(9, 'lsio.list("-")', "line 4", "object 'standard input'", stdin=f)

    def test_long_lines_are_lines(self):
        """What a list may have has no message of its own."""
        self.write("r.csv", "path,offset,length,note\na.bin,0,-1,%s\na.bin,0,-1,\n" % (900000 * "x"))
        self.write("a.bin", "abc")
        self.fails(0, 'lsio.ranges { file = "r.csv" }')
        self.write("names", 900000 * "x" + "\n")
        self.fails(4, 'lsio.list("names")', "File name too long")

    def endless(self):
        p = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdout.close)
        return p.stdout

    def test_the_deadline_ends_it(self):
        for source in ('lsio.list("/dev/zero", { nul = true })', 'lsio.list("-")', 'lsio.ranges { file = "/dev/stdin" }'):
            self.fails(9, source, "the deadline has passed", "--deadline", options=["--deadline=0.05"], stdin=self.endless())

    def test_the_deadline_ends_what_nobody_goes_on_writing(self):
        for text in (b"", b"a.bin\n", b"a.bi"):
            for source in ('lsio.list("-")', 'lsio.ranges { file = "-" }', 'lsio.list("fifo")'):
                reader, writer = os.pipe()
                if "fifo" in source:
                    os.close(reader), os.close(writer)
                    if not os.path.exists(self.path("fifo")):
                        os.mkfifo(self.path("fifo"))
                    writer = os.open(self.path("fifo"), os.O_RDWR)
                    reader = os.open(os.devnull, os.O_RDONLY)
                os.write(writer, text)
                self.fails(9, source, "the deadline has passed", options=["--deadline=0.05"], stdin=reader)
                os.close(reader)
                os.close(writer)
        self.fails(9, 'lsio.list("fifo")', "the deadline has passed", options=["--deadline=0.05"])  # nobody has it open

    def interrupted(self, source, stdin):
        p = self.start("-e", "io.stderr:write('listing\\n') " + JOB % source, stdin=stdin, before=confined)
        self.assertEqual(p.stderr.readline(), b"listing\n")
        timer = threading.Timer(0.3, p.send_signal, [signal.SIGINT])
        timer.start()
        err = p.communicate(timeout=30)[1].decode()
        timer.join()
        self.assertEqual(p.returncode, 130, err)
        self.assertIn("interrupted while files were listed; nothing was read", err)

    def test_control_c_ends_it(self):
        reader, writer = os.pipe()
        os.write(writer, b"a.bin\n")
        self.interrupted('lsio.list("-")', reader)
        self.interrupted('lsio.ranges { file = "-" }', reader)
        os.close(reader)
        os.close(writer)

    def test_a_list_that_comes_slowly_is_read(self):
        self.write("a.bin", "abc")
        p = self.start("-e", JOB % 'lsio.list("-")', stdin=subprocess.PIPE)
        for part in (b"a.b", b"in\na", b".bin"):
            p.stdin.write(part)
            p.stdin.flush()
            threading.Event().wait(0.12)
        err = p.communicate(timeout=30)[1].decode()
        self.assertEqual(p.returncode, 0, err)
        self.assertIn("done: 2 steps", err)


if __name__ == "__main__":
    unittest.main()
