"""Sources that are missing, can't be read, are too short, go away, do not fit or grow: with on_error = "skip" that is
the affair of their steps, and all others are done; without it, and of what changes meanwhile, the job's."""
import json
import os
import random
import shutil
import subprocess
import unittest

import numpy as np

from support import RunnerTest

BACKENDS = ("uring", "pread", "mapped")
COUNT = """local lsio = require "lsio"
return lsio.job {
  source = %s,
  on_error = "skip",
  state = "double n, bytes;", reduce = "sum",
  transform = function(chunk, state) %s state.n = state.n + 1; state.bytes = state.bytes + chunk.n end,
  done = function(r, info) print(r.n, r.bytes, info.steps, info.steps_failed, info.chunks_missing) end,
}"""
PLACE = """local lsio = require "lsio"
return lsio.job {
  source = %s,
  on_error = "%s", fill = 7,
  sink = lsio.raw("out.raw", { exists = "replace" }),
  transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) end,
}"""


class SourcesTest(RunnerTest):
    def files(self, n, size=4096, folder="."):
        os.makedirs(self.path(folder), exist_ok=True)
        for i in range(n):
            with open(self.path("%s/f%04d.bin" % (folder, i)), "wb") as f:
                f.write(bytes([i % 251]) * size)

    def counted(self, code, source, *more, before=""):
        r = self.expect(code, *more, "-e", COUNT % (source, before))
        return r, tuple(int(x) for x in r.out.split()) if r.out else None

    def failures(self):
        with open(self.path("errors")) as f:
            return [json.loads(line) for line in f]


class Skipped(SourcesTest):
    def test_one_file_of_1500_is_not_there(self):
        self.files(1500)
        os.remove(self.path("f0700.bin"))
        self.write("list", "".join("f%04d.bin\n" % i for i in range(1500)))
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                r, got = self.counted(1, 'lsio.list("list", { whole = true })', "--backend", backend, "--errors=errors")
                self.assertEqual(got, (1499, 1499 * 4096, 1499, 1, 0))
                error, = self.failures()
                self.assertEqual((error["object"], error["kind"], error["step"]), ("f0700.bin", "not_found", 700))
                self.assertIn("1 step failed and was left out (not found)", r.said)
        r, _ = self.counted(4, 'lsio.list("list", { whole = true })', "--on-error", "fail")
        self.assertIn("a source does not exist: object 'f0700.bin'", r.err)

    def test_all_kinds_are_told_apart(self):
        self.files(4)
        os.mkdir(self.path("folder.bin"))
        os.mkfifo(self.path("pipe.bin"))
        os.symlink("loop.bin", self.path("loop.bin"))
        names = ["f0000.bin", "none.bin", "folder.bin", "f0001.bin", "pipe.bin", "loop.bin", "f0000.bin/x", "f0002.bin"]
        self.write("list", "".join(n + "\n" for n in names))
        _, got = self.counted(1, 'lsio.list("list", { whole = true })', "--errors=errors")
        self.assertEqual(got, (3, 3 * 4096, 3, 5, 0))
        self.assertEqual([(e["object"], e["kind"]) for e in sorted(self.failures(), key=lambda e: e["step"])],
                         [("none.bin", "not_found"), ("folder.bin", "usage"), ("pipe.bin", "usage"),
                          ("loop.bin", "usage"), ("f0000.bin/x", "not_found")])

    def test_all_of_them(self):
        _, got = self.counted(1, 'lsio.files({ "a", "b" }, { whole = true })')
        self.assertEqual(got, (0, 0, 0, 2, 0))

    def test_ranges_outside_their_object_keep_their_places(self):
        rng = random.Random(5)
        self.files(4, 1000)
        names = ["f%04d.bin" % i for i in range(4)] + ["none.bin"]
        for backend in BACKENDS:
            for codec_piece in ("", "piece"):
                rows, want = ["path,offset,length"], b""
                bad = 0
                for _ in range(200):
                    name = rng.choice(names)
                    offset, length = rng.choice((0, 5, 990, 999, 1000, 1001, 5000)), rng.choice((0, 1, 10, 300))
                    rows.append("%s,%d,%d" % (name, offset, length))
                    ok = name != "none.bin" and offset + length <= 1000
                    bad += not ok
                    want += (bytes([names.index(name)]) if ok else b"\7") * length
                self.write("ranges.csv", "\n".join(rows))
                job = PLACE % ('lsio.ranges { file = "ranges.csv" }', "skip")
                if codec_piece:
                    job = job.replace("fill = 7,", 'fill = 7, piece = 64,')
                with self.subTest(backend=backend, pieces=codec_piece):
                    self.expect(1, "--backend", backend, "--json=s.json", "-e", job)
                    s = self.summary()
                    self.assertEqual((s["steps"], s["steps_failed"], s["chunks_failed"]), (200 - bad, bad, bad))
                    with open(self.path("out.raw"), "rb") as f:
                        self.assertEqual(f.read(), want)

    def test_a_file_that_is_too_short_for_its_chunks(self):
        self.files(3, 6000)
        os.truncate(self.path("f0001.bin"), 5000)
        job = PLACE % ('lsio.files("f*.bin", { length = 6000, chunk = 2000 })', "skip")
        self.expect(1, "--json=s.json", "--errors=errors", "-e", job)
        self.assertEqual([(e["object"], e["offset"], e["length"]) for e in self.failures()],
                         [("f0001.bin", 4000, 2000)])
        with open(self.path("out.raw"), "rb") as f:
            self.assertEqual(f.read(), b"\0" * 6000 + b"\1" * 4000 + b"\7" * 2000 + b"\2" * 6000)
        self.assertEqual(self.expect(2, "--on-error", "fail", "-e", job).code, 2)

    def test_compressed_files_of_known_size(self):
        for i in range(5):
            data = np.full(500, i, "<f4").tobytes()
            subprocess.run(["zstd", "-q", "-o", self.path("z%d.zst" % i)], input=data, check=True)
        os.remove(self.path("z3.zst"))
        self.expect(1, "-e", """local lsio = require "lsio"
            return lsio.job { source = lsio.files({ "z0.zst", "z1.zst", "z2.zst", "z3.zst", "z4.zst" }), codec = "zstd",
              type = "f32", decoded = 2000, on_error = "skip", fill = -1,
              sink = lsio.npy("out.npy", { shape = { 5, 500 } }) }""")
        want = np.repeat(np.array([0, 1, 2, -1, 4], "<f4"), 500).reshape(5, 500)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), want)

    def test_steps_that_do_not_fit(self):
        self.files(10)
        for name in ("large1.bin", "large2.bin"):
            with open(self.path(name), "wb") as f:
                f.truncate(300 << 20)
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, got = self.counted(1, 'lsio.files("*.bin", { whole = true })', "--memory", "64MiB", "--backend",
                                      backend, "--errors=errors")
                self.assertEqual(got, (10, 40960, 10, 2, 0))
                self.assertEqual({(e["object"], e["kind"]) for e in self.failures()},
                                 {("large1.bin", "limit"), ("large2.bin", "limit")})
        r, _ = self.counted(9, 'lsio.files("*.bin", { whole = true })', "--memory", "64MiB", "--on-error", "fail")
        self.assertIn("a step needs", r.err)
        r, _ = self.counted(9, 'lsio.files("large*.bin", { whole = true })', "--memory", "64MiB")
        self.assertIn("a step needs", r.err)

    def test_what_is_not_there_is_not_too_large(self):
        """Nor does it count among the steps that do not fit: if none does, the job has failed."""
        with open(self.path("large.bin"), "wb") as f:
            f.truncate(300 << 20)
        self.write("ranges.csv", "path,offset,length\nlarge.bin,0,%d\nnone.bin,0,%d\n" % (300 << 20, 300 << 20))
        source = 'lsio.ranges { file = "ranges.csv" }, codec = "zstd"'
        _, got = self.counted(1, source, "--memory", "64MiB", "--errors=errors")
        self.assertEqual(got, (0, 0, 0, 2, 0))
        self.assertEqual({(e["object"], e["kind"]) for e in self.failures()},
                         {("large.bin", "limit"), ("none.bin", "not_found")})

    def test_large_files_among_those_whose_sizes_are_learnt_late(self):
        self.files(1400)
        for name in ("g1.bin", "g2.bin"):
            with open(self.path(name), "wb") as f:
                f.truncate(300 << 20)
        _, got = self.counted(1, 'lsio.files("*.bin", { whole = true })', "--memory", "64MiB", "--errors=errors")
        self.assertEqual(got, (1400, 1400 * 4096, 1400, 2, 0))
        self.assertEqual({e["object"] for e in self.failures()}, {"g1.bin", "g2.bin"})

    def test_files_that_go_away(self):
        for backend in BACKENDS:
            for n in (300, 1300):  # of the latter only the names are planned
                shutil.rmtree(self.path("d"), ignore_errors=True)
                self.files(n, folder="d")
                last = "d/f%04d.bin" % (n - 1)
                remove = 'if chunk.index == 0 then os.remove "%s" end' % last
                with self.subTest(backend=backend, n=n):
                    _, got = self.counted(1, 'lsio.files("d/*.bin", { whole = true })', "-j1", "--backend", backend,
                                          "--errors=errors", before=remove)
                    self.assertEqual(got, (n - 1, (n - 1) * 4096, n - 1, 1, 0))
                    self.assertEqual([e["object"] for e in self.failures()], [last])

    def test_a_file_that_becomes_a_pipe(self):
        """Which nobody writes to: it must not be waited for."""
        for backend in BACKENDS:
            for n in (300, 1300):
                shutil.rmtree(self.path("d"), ignore_errors=True)
                self.files(n, folder="d")
                last = "d/f%04d.bin" % (n - 1)
                change = 'if chunk.index == 0 then os.execute "rm %s; mkfifo %s" end' % (last, last)
                with self.subTest(backend=backend, n=n):
                    _, got = self.counted(1, 'lsio.files("d/*.bin", { whole = true })', "-j1", "--backend", backend,
                                          "--errors=errors", before=change)
                    self.assertEqual(got, (n - 1, (n - 1) * 4096, n - 1, 1, 0))
                    error, = self.failures()
                    self.assertEqual((error["object"], error["kind"]), (last, "usage"))
                    self.assertIn("neither a file nor a disk", error["message"])

    def test_many_large_files_are_refused_at_once(self):
        self.files(1100)
        for i in range(150):
            with open(self.path("g%03d.bin" % i), "wb") as f:
                f.truncate(1 << 30)
        _, got = self.counted(1, 'lsio.files("*.bin", { whole = true })', "--memory", "64MiB")
        self.assertEqual(got, (1100, 1100 * 4096, 1100, 150, 0))

    def test_what_can_be_done_is_told_of_the_first_of_several(self):
        self.files(2)
        os.mkdir(self.path("folder"))
        self.write("r.csv", "path,offset,length\nf0000.bin,-5000,\nfolder,0,4\nf0001.bin,0,4\n")
        r, _ = self.counted(1, 'lsio.ranges { file = "r.csv" }')
        self.assertIn("usage: the object is shorter than was asked for (the first of them; others say something else)",
                      r.said)
        self.assertIn("f0000.bin: step 0: the offset -5000 lies before the beginning", r.said)

    @unittest.skipIf(os.geteuid() != 0 or not shutil.which("setpriv"), "needs to become somebody else")
    def test_what_may_not_be_read(self):
        os.chmod(self.dir, 0o755)
        self.files(3, folder="d")
        self.files(3, folder="d/closed")
        os.chmod(self.path("d/f0001.bin"), 0)
        os.chmod(self.path("d/closed"), 0)
        os.mkdir(self.path("out"))
        os.chmod(self.path("out"), 0o777)
        job = self.write("job.lua", COUNT % ('lsio.files("d/**/*.bin", { whole = true })', ""))
        runner = os.environ.get("LSIO_RUNNER", "")

        def run(*args):
            return subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", runner, *args, job], cwd=self.dir,
                                  env=self.env, capture_output=True, text=True)
        if not runner or run("--version").returncode == 126:
            self.skipTest("others may not run the runner")
        r = run("--errors=out/errors")
        self.assertEqual(r.returncode, 1, r)
        self.assertEqual(r.stdout.split(), ["2", "8192", "2", "2", "0"])
        with open(self.path("out/errors")) as f:
            got = [json.loads(line) for line in f]
        self.assertEqual({(e["object"], e["kind"]) for e in got},
                         {("d/closed/", "permission"), ("d/f0001.bin", "permission")})
        r = run("--on-error=fail")
        self.assertEqual(r.returncode, 4)
        self.assertIn("a folder can't be listed: object 'd/closed': Permission denied", r.stderr)

    def test_what_changes_stops_the_job_all_the_same(self):
        self.files(300)
        grow = 'if chunk.index == 0 then local f = io.open("f0299.bin", "a"); f:write "x"; f:close() end'
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                r, _ = self.counted(4, 'lsio.files("*.bin", { whole = true })', "-j1", "--backend", backend, before=grow)
                self.assertIn("object 'f0299.bin'", r.err)

    def test_explain_says_how_many(self):
        self.files(3)
        job = COUNT % ('lsio.files({ "f0000.bin", "none", "f0001.bin" }, { whole = true })', "")
        self.assertIn("faults       1 chunk can't be had", self.expect(0, "--explain", "-e", job).out)
        plan = json.loads(self.expect(0, "--explain=json", "-e", job).out)
        self.assertEqual((plan["chunks"], plan["chunks_faulty"], plan["bytes_requested"]), (3, 1, 8192))
        self.write("r.csv", "path,offset,length\nf0000.bin,0,100\nnone,0,5000\nf0001.bin,4000,97\n")
        plan = json.loads(self.expect(0, "--explain=json", "-e", COUNT % ('lsio.ranges { file = "r.csv" }', "")).out)
        self.assertEqual((plan["chunks_faulty"], plan["bytes_requested"]), (2, 100))

    def test_shards_limits_and_single_steps_have_the_same_faults(self):
        self.files(20)
        self.write("list", "".join("f%04d.bin\n" % i if i % 3 else "none%d\n" % i for i in range(20)))
        source = 'lsio.list("list", { whole = true })'
        total = np.zeros(2, int)
        for i in range(3):
            _, got = self.counted(1, source, "--shard", "%d/3" % i)
            total += (got[2], got[3])
        self.assertEqual(tuple(total), (13, 7))
        self.assertEqual(self.counted(1, source, "--limit", "4")[1][2:4], (2, 2))
        self.assertEqual(self.counted(1, source, "--step", "6")[1][2:4], (0, 1))
        self.assertEqual(self.counted(0, source, "--step", "7")[1][2:4], (1, 0))


class Missing(SourcesTest):
    RANGES = 'lsio.ranges { objects = { "f0000.bin", "none.bin", "f0002.bin" }, object = { 0, 1, 2, 1, 0 },' \
             ' offset = { 0, 0, 4, 0, 8 }, length = { 4, 5, 6, 7, 8 }, tag = { 1, 2, 3, 4, 5 }%s }'

    def out(self):
        with open(self.path("out.raw"), "rb") as f:
            return f.read()

    def test_skip_leaves_them_out(self):
        self.files(3)
        for on_error in ("fail", "skip"):
            r = self.expect(0, "--json=s.json", "-e", PLACE % (self.RANGES % ', missing = "skip"', on_error))
            self.assertIn("2 sources are not there and are left out, the first of them 'none.bin'", r.err)
            self.assertEqual(self.out(), b"\0" * 4 + b"\2" * 6 + b"\0" * 8)
            s = self.summary()
            self.assertEqual((s["steps"], s["steps_failed"], s["chunks_missing"]), (3, 0, 2))

    def test_fill_stands_in_their_places(self):
        self.files(3)
        for on_error in ("fail", "skip"):
            r = self.expect(0, "--json=s.json", "-e", PLACE % (self.RANGES % ', missing = "fill"', on_error))
            self.assertIn("2 chunks of sources that are not there", r.said)
            self.assertEqual(self.out(), b"\0" * 4 + b"\7" * 5 + b"\2" * 6 + b"\7" * 7 + b"\0" * 8)
            s = self.summary()
            self.assertEqual((s["steps"], s["steps_failed"], s["chunks_missing"]), (5, 0, 2))
        no_fill = (PLACE % (self.RANGES % ', missing = "fill"', "fail")).replace("fill = 7,", "")
        self.assertIn('missing = "fill" with a sink of fixed places needs `fill`', self.expect(3, "-e", no_fill).err)

    def test_error_is_as_without(self):
        self.files(3)
        self.expect(4, "-e", PLACE % (self.RANGES % ', missing = "error"', "fail"))
        self.expect(1, "-e", PLACE % (self.RANGES % ', missing = "error"', "skip"))

    def test_what_is_there_and_can_not_be_read_is_not_missing(self):
        os.mkdir(self.path("folder"))
        r, _ = self.counted(4, 'lsio.files({ "folder" }, { missing = "skip", whole = true })', "--on-error", "fail")
        self.assertIn("a source is a directory", r.err)

    def test_patterns_that_find_nothing(self):
        self.files(3)
        r, got = self.counted(0, 'lsio.files({ "f*", "none*" }, { missing = "skip", whole = true })')
        self.assertEqual(got[0], 3)
        self.assertIn("1 source is not there and is left out: 'none*'", r.err)
        self.counted(4, 'lsio.files({ "f*", "none*" }, { whole = true })')

    def test_files_that_go_away_meanwhile(self):
        for missing in ("skip", "fill"):
            self.files(300)
            remove = 'if chunk.index == 0 then os.remove "f0299.bin" end'
            _, got = self.counted(0, 'lsio.files("*.bin", { whole = true, missing = "%s" })' % missing, "-j1",
                                  "--on-error", "fail", before=remove)
            self.assertEqual(got, (299, 299 * 4096, 300, 0, 1))

    def test_lists_and_groups(self):
        self.files(3)
        self.write("list", "f0000.bin\nnone\nf0001.bin\n")
        _, got = self.counted(0, 'lsio.list("list", { missing = "skip", whole = true })')
        self.assertEqual(got, (2, 8192, 2, 0, 1))
        self.write("r.csv", "path,offset,length,tag\nnone,0,4,1\nf0000.bin,0,4,2\n")
        _, got = self.counted(0, 'lsio.ranges { file = "r.csv", missing = "skip" }', before="assert(chunk.tag == 2)")
        self.assertEqual(got, (1, 4, 1, 0, 1))

    def test_words(self):
        for source in ('lsio.files("a", { missing = "skipp" })', 'lsio.ranges { file = "a", missing = "skipp" }'):
            self.assertIn('unknown missing "skipp"; did you mean "skip"?', self.expect(3, "-e", COUNT % (source, "")).err)
        r = self.expect(3, "-e", COUNT % ('lsio.files("a", { changing = true })', ""))
        self.assertIn("lsio.files: changing must be one of append, error, not true", r.err)


LEASE = """import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
def give_up(*_):
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, give_up)
try:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
except OSError:
    sys.exit(77)
print("held", flush=True)
sys.stdin.read()
"""


class Leased(SourcesTest):
    def test_a_lease_is_asked_for(self):
        for n, name in ((3, "f0001.bin"), (1200, "f0700.bin")):
            self.files(n)
            for backend in BACKENDS:
                holder = subprocess.Popen(["/usr/bin/python3", "-c", LEASE, self.path(name)], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE)
                try:
                    if holder.stdout.readline() != b"held\n":
                        self.skipTest("no leases here")
                    _, got = self.counted(0, 'lsio.files("*.bin", { whole = true })', "--backend", backend)
                    self.assertEqual(got, (n, n * 4096, n, 0, 0))
                finally:
                    holder.communicate()


class Changing(SourcesTest):
    GROW = """if chunk.index == 0 then
      for i = 1, 3 do local f = io.open("log", "a"); f:write(("x"):rep(100000)); f:close() end
    end"""

    def test_a_log_that_grows_is_read_up_to_where_it_ended(self):
        for backend in BACKENDS:
            for more in ("", ", whole = true"):
                with open(self.path("log"), "wb") as f:
                    f.write(b"l" * 3000001)
                with self.subTest(backend=backend, more=more):
                    source = 'lsio.files("log", { changing = "append"%s })' % more
                    _, got = self.counted(0, source, "-j1", "--backend", backend, before=self.GROW)
                    self.assertEqual(got[1], 3000001)
                    with open(self.path("log"), "wb") as f:
                        f.write(b"l" * 3000001)
                    r, _ = self.counted(4, source.replace("append", "error"), "-j1", "--backend", backend,
                                        before=self.GROW)
                    self.assertIn("a source has grown while the job was running: object 'log'", r.err)

    def test_what_shrinks_or_is_replaced_is_an_error_all_the_same(self):
        for change in ('local f = io.open("log", "w"); f:write "x"; f:close()',
                       'local f = io.open("new", "w"); f:write(("y"):rep(4000000)); f:close(); os.rename("new", "log")'):
            with open(self.path("log"), "wb") as f:
                f.write(b"l" * 3000001)
            self.counted(4, 'lsio.files("log", { changing = "append" })', "-j1",
                         before="if chunk.index == 0 then %s end" % change)


if __name__ == "__main__":
    unittest.main()
