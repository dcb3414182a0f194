"""A hostile system: sources that change while they are read, sources that are none, io_uring refused,
few descriptors, little lockable memory, little address space, nobody's rights."""
import ctypes
import errno
import os
import resource
import shutil
import subprocess
import time
import unittest

import numpy as np

from support import COPY, RUNNER, STATS, RunnerTest, normal_signals

NOBODY = 65534
# Newer than some libseccomp; the same numbers on every architecture.
NUMBERS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "cachestat": 451}

# Reads several files slowly and says when it has begun.
SLOW = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.f32", { chunk = "4KiB" }), type = "f32", sink = lsio.npy("out.npy"),
  merge = "never",
  transform = function(chunk)
    if chunk.index == 0 then io.open("begun", "w"):close() end
    local t = os.clock() + 0.004
    while os.clock() < t do end
    for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  end,
}
"""


def refuse(call, error=errno.EPERM):
    """For the child: a system call answers with an error, as in containers and sandboxes."""
    def refuse_it():
        normal_signals()
        lib = ctypes.CDLL("libseccomp.so.2")
        lib.seccomp_init.restype = ctypes.c_void_p
        context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(0x7FFF0000)))
        number = NUMBERS.get(call) or lib.seccomp_syscall_resolve_name(call.encode())
        rc = lib.seccomp_rule_add(context, ctypes.c_uint32(0x00050000 | error), number, 0)
        if rc or lib.seccomp_load(context):
            os._exit(125)
    return refuse_it


def limit(what, value, user=None, core=None):
    def set_it():
        normal_signals()
        if core is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (core, core))
        if user:
            os.setgroups([])
            os.setgid(user)
        hard = resource.getrlimit(what)[1]  # which in a container even root may not raise
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (allowed, allowed))
        if user:
            os.setuid(user)
    return set_it


class ChangingSources(RunnerTest):
    FILES, VALUES = 12, 6 << 10  # 12 files of 24 KiB: 72 steps of 4 ms

    def sources(self):
        return np.concatenate([self.data("%02d.f32" % i, n=self.VALUES) + 0 for i in range(self.FILES)])

    def wait_begun(self, p):
        for _ in range(2000):
            if os.path.exists(self.path("begun")):
                return
            self.assertIsNone(p.poll(), "the job has ended without a step")
            time.sleep(0.005)
        self.fail("the job does not begin")

    def truncate(self, path):
        os.truncate(path, 5000)

    def empty(self, path):
        os.truncate(path, 0)

    def grow(self, path):
        with open(path, "ab") as f:
            f.write(b"more")

    def overwrite(self, path):
        time.sleep(0.02)  # mtimes count in ticks of the kernel's clock
        with open(path, "r+b") as f:
            f.write(b"\xff" * 100)

    def replace(self, path):
        np.zeros(self.VALUES, "<f4").tofile(self.path("other"))
        os.rename(self.path("other"), path)

    def delete(self, path):
        os.unlink(path)

    def change(self, what, victim, *args):
        self.sources()
        p = self.start(*(args + ("--json=s.json", "-e", SLOW)))
        self.wait_begun(p)
        getattr(self, what)(self.path(victim))
        _, err = p.communicate(timeout=60)
        err = err.decode()
        self.assertEqual(p.returncode, 4, (what, victim, args, err))
        self.assertIn(victim, err)
        self.assertEqual([x for x in self.left() if not x.endswith(".f32")], ["begun", "s.json"])
        self.assertEqual(self.summary()["status"], "failed")
        for name in self.left():
            os.unlink(self.path(name))

    def test_changes_stop_the_job(self):
        for what in ("truncate", "empty", "grow", "overwrite", "replace", "delete"):
            for victim in ("00.f32", "11.f32"):
                self.change(what, victim, "-j2")

    def test_with_each_backend_and_way_of_reading(self):
        for what in ("truncate", "replace", "delete"):
            self.change(what, "06.f32", "-j1", "--backend=pread")
            self.change(what, "06.f32", "-j1", "--direct=always")

    def test_skipping_does_not_excuse_it(self):
        """But for a file that has gone before it was opened, which is the affair of its steps."""
        for what, victim, code in (("truncate", "09.f32", 4), ("delete", "00.f32", 4), ("delete", "11.f32", 1)):
            self.sources()
            p = self.start("-j1", "--on-error=skip", "-e", SLOW.replace("merge =", "fill = 0, merge ="))
            self.wait_begun(p)
            getattr(self, what)(self.path(victim))
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, code, err)
            self.assertEqual("out.npy" in self.left(), code == 1)
            self.assertIn(victim, err.decode())
            for name in self.left():
                os.unlink(self.path(name))

    def test_undisturbed(self):
        values = self.sources()
        self.expect(0, "-j2", "-e", SLOW)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)


class NoSources(RunnerTest):
    def refused(self, code, source, *words):
        job = COPY.replace('lsio.files("a.f32", { chunk = "400" })', source)
        r = self.expect(code, "-e", job)
        for word in words:
            self.assertIn(word, r.err)
        self.assertNotIn("out.npy", self.left())

    def test_what_is_no_file(self):
        self.data()
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("fifo"))
        os.symlink("nowhere", self.path("dangling"))
        os.symlink("circle", self.path("circle"))
        self.refused(4, 'lsio.files("none*")', "none*")
        self.refused(4, 'lsio.files { "a.f32", "none/*.f32" }', "none/*.f32")
        self.refused(4, 'lsio.files("folder")', "folder", "directory")
        self.refused(4, 'lsio.files { "a.f32", "folder" }', "folder", "directory")
        self.refused(4, 'lsio.files("fifo")', "fifo", "neither a file nor a disk")
        self.refused(4, 'lsio.files("dangling")', "dangling")
        self.refused(4, 'lsio.files("circle")', "circle")
        self.refused(4, 'lsio.files("a.f32/x")', "a.f32/x")
        self.refused(4, 'lsio.files(("x"):rep(5000))', "File name too long")
        self.refused(4, 'lsio.ranges { objects = { "fifo" }, offset = { 0 }, length = { 4 } }', "fifo")

    def test_names_do_not_steer_the_terminal(self):
        name = "\x1b]0;mine\x07\x7f.f32"
        self.write(name, "xyz")
        r = self.expect(8, "--json=s.json", "-e", COPY.replace('"a.f32"', '"*.f32"'))
        self.assertIn("'?]0;mine??.f32'", r.err)
        self.assertEqual(self.summary()["errors"][0]["object"], name)

    def test_unreadable_file(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        self.data()
        os.chmod(self.path("a.f32"), 0o600)
        os.chmod(self.dir, 0o777)
        shutil.copy(RUNNER, self.path("runner"))
        p = self.start("-e", COPY, executable=self.path("runner"),
                       before=limit(resource.RLIMIT_CORE, 0, user=NOBODY))
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 4, err)
        for word in ("a.f32", "Permission denied", "user id 65534"):
            self.assertIn(word, err.decode())

    SIZELESS = r"""
local lsio = require "lsio"
return lsio.job {
  source = %s, type = "u8", state = "double n;", reduce = { n = "sum" },
  transform = function(chunk, state) state.n = state.n + chunk.n end,
  done = function(r) print(string.format("%%.0f", r.n)) end,
}
"""

    @staticmethod
    def attribute():
        """One of /sys that says that it holds a page, as they all do, and holds a line."""
        for path in ("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/fscaps", "/sys/kernel/uevent_seqnum"):
            if os.path.exists(path) and os.stat(path).st_size > 1000:
                return path
        raise unittest.SkipTest("there is no /sys")

    def check_sizeless(self, path, source, *args):
        r = self.expect(4, *args, "-e", self.SIZELESS % source)
        self.assertIn("a source has no size of its own: its file system makes the content when it is read", r.err)
        self.assertIn(path, r.err)
        self.assertIn("copy it to a file first (cat)", r.err)
        return r

    def test_files_without_a_size(self):
        """Those of /proc say that they are empty, those of /sys that they hold a page: neither is true."""
        for path in ("/proc/self/status", self.attribute()):
            for options in ("chunk = '1KiB'", "whole = true"):
                source = "lsio.files('%s', { %s })" % (path, options)
                for backend in ("uring", "pread", "mapped"):
                    self.check_sizeless(path, source, "--backend=" + backend)
                self.check_sizeless(path, source, "--explain")  # planning says it in the same words
            ranges = 'lsio.ranges { objects = { "%s" }, offset = { 0 }, length = { 10 } }' % path
            self.check_sizeless(path, ranges)

    def test_files_without_a_size_found_late(self):
        """Of many files only names are planned: it is found when the file is opened."""
        path = self.attribute()
        os.mkdir(self.path("d"))
        for i in range(1500):
            self.write("d/%04d" % i, "x")
        os.remove(self.path("d/1400"))
        source = "lsio.files('d/*', { whole = true })"
        for target in (path, "/proc/self/status"):
            os.symlink(target, self.path("d/1400"))
            self.check_sizeless("d/1400", source)
            os.remove(self.path("d/1400"))

    def test_what_has_its_size_although_it_is_made(self):
        """Binary attributes of /sys are as long as they say."""
        path = "/sys/kernel/notes"
        if not os.access(path, os.R_OK):
            self.skipTest("there is no %s" % path)
        with open(path, "rb") as f:
            length = len(f.read())
        self.assertEqual(length, os.stat(path).st_size)
        for options in ("chunk = 100", "whole = true"):
            r = self.expect(0, "-e", self.SIZELESS % ("lsio.files('%s', { %s })" % (path, options)))
            self.assertEqual("%d\n" % length, r.out)

    def test_empty_files(self):
        for name in ("a.f32", "c.f32"):
            open(self.path(name), "w").close()
        values = self.data("b.f32", n=500)
        job = COPY.replace('"a.f32"', '"*.f32"')
        self.expect(0, "--json=s.json", "-e", job)
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
        self.assertEqual(self.summary()["chunks"], 7)  # an empty file is one step
        os.unlink(self.path("b.f32"))
        os.unlink(self.path("out.npy"))
        for more in ("", "out_max = 5, transform = function(chunk) return chunk.n end,"):
            self.expect(0, "-e", job.replace("type =", more + "type ="))
            self.assertEqual(np.load(self.path("out.npy")).shape, (0,))
            os.unlink(self.path("out.npy"))
        self.assertEqual(self.expect(0, "-e", STATS).out, "result 0 0 0\n")

    def test_empty_files_of_a_codec(self):
        """They are what the codec's own tool says: of lz4 no data, of zstd cut short."""
        path = self.path("a.f32")
        open(path, "w").close()
        job = COPY.replace("type =", 'codec = "%s", decoded = 64, %s type =')
        identity = "piece = 4, transform = function(chunk) return chunk.n end, out_max = 9,"
        for codec in ("lz4", "zstd", "lz4_block", "blosc"):
            tool = shutil.which(codec)
            sound = subprocess.run([tool, "-t", path], capture_output=True).returncode == 0 if tool else codec == "lz4"
            for more in ("", identity):
                r = self.run_lsio("-e", job % (codec, more))
                self.assertEqual(r.code, 0 if sound else 8, (codec, r))
                if sound:
                    self.assertEqual(np.load(self.path("out.npy")).shape, (0,))
                    os.unlink(self.path("out.npy"))
                    continue
                what = "block" if codec == "lz4_block" else codec + " frame"
                self.assertRegex(r.err, "an empty chunk holds no .*%s: object 'a.f32', offset 0, length 0" % what)
                self.assertIn("--on-error skip", r.err)
                skip = 'on_error = "skip", fill = 0,' + more
                self.expect(1, "-e", job % (codec, skip))
                os.unlink(self.path("out.npy"))
            ranges = (job % (codec, "")).replace('lsio.files("a.f32")',
                                                 'lsio.ranges { object = "a.f32", offset = { 0 }, length = { 0 } }')
            self.assertEqual(self.run_lsio("-e", ranges).code, 0 if sound else 8, codec)
            if sound:
                os.unlink(self.path("out.npy"))


class Limits(RunnerTest):
    def test_io_uring_refused(self):
        values = self.data(n=100000)
        r = self.expect(0, "--doctor", before=refuse("io_uring_setup"))
        self.assertRegex(r.out, r"backend uring: .*(EPERM|not permitted)")
        self.assertIn("backend pread: works", r.out)
        r = self.expect(0, "--json=s.json", "-e", COPY, before=refuse("io_uring_setup"))
        np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
        self.assertEqual(self.summary()["backend"], "pread")
        self.assertNotIn("uring", r.err)
        os.unlink(self.path("out.npy"))
        r = self.run_lsio("--backend=uring", "-e", COPY, before=refuse("io_uring_setup"))
        self.assertEqual(r.code, 5, r)
        self.assertIn("not permitted", r.err)
        self.assertNotIn("out.npy", self.left())

    def test_what_sandboxes_refuse(self):
        values = self.data(n=100000)
        for call in ("cachestat", "statx", "preadv2", "fallocate", "renameat2", "getrandom", "mlock",
                     "sched_setaffinity", "sched_getaffinity", "io_uring_enter", "io_uring_register",
                     "madvise", "fadvise64", "readlink", "prlimit64", "statfs", "mincore", "uname",
                     "eventfd2"):
            for error in (errno.EPERM, errno.ENOSYS):
                for way in ("--direct=auto", "--direct=always"):
                    r = self.run_lsio("-j2", way, "--merge=never", "-e", COPY.replace('"400"', '"16KiB"'),
                                      before=refuse(call, error))
                    self.assertEqual(r.code, 0, (call, error, way, r))
                    np.testing.assert_array_equal(np.load(self.path("out.npy")), values, call)
                    os.unlink(self.path("out.npy"))
        for call, code in (("pwrite64", 6), ("ftruncate", 6), ("fdatasync", 6)):
            r = self.expect(code, "-e", COPY, before=refuse(call))
            self.assertIn("Operation not permitted", r.err)
            self.assertEqual(self.left(), ["a.f32"])

    def test_nobody_with_little_lockable_memory(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        values = self.data(n=4 << 20)
        os.chmod(self.dir, 0o777)
        shutil.copy(RUNNER, self.path("runner"))
        job = COPY.replace('"400"', '"256KiB"')
        for bytes_ in (8 << 20, 64 << 10, 0):
            for direct in ("always", "auto"):
                p = self.start("-j2", "--direct=" + direct, "--json=s.json", "-e", job,
                               executable=self.path("runner"),
                               before=limit(resource.RLIMIT_MEMLOCK, bytes_, user=NOBODY))
                _, err = p.communicate(timeout=60)
                self.assertEqual(p.returncode, 0, (bytes_, err))
                np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
                self.assertEqual(os.stat(self.path("out.npy")).st_uid, NOBODY)
                os.unlink(self.path("out.npy"))

    def test_lockable_memory_that_others_use(self):
        # The limit is the user's: io_uring works when it is chosen and not when a worker wants its own.
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        values = self.data(n=1 << 18)
        os.chmod(self.dir, 0o777)
        shutil.copy(RUNNER, self.path("runner"))
        set_limit = limit(resource.RLIMIT_MEMLOCK, 64 << 10, user=50000 + os.getpid() % 10000)
        jobs = []
        for i in range(12):
            job = COPY.replace('"400"', '"4KiB"').replace("out.npy", "out%d.npy" % i)
            jobs.append(self.start("-j4", "-e", job, executable=self.path("runner"), before=set_limit))
        for i, p in enumerate(jobs):
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            np.testing.assert_array_equal(np.load(self.path("out%d.npy" % i)), values)

    def test_few_threads(self):
        # The kernel cancels reads of io_uring that it can start no thread for: they are read otherwise.
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        values = self.data(n=1 << 20)
        os.chmod(self.dir, 0o777)
        shutil.copy(RUNNER, self.path("runner"))
        job = COPY.replace('"400"', '"16KiB"')
        user = 50000 + os.getpid() % 10000  # whose threads nobody else adds to
        codes = []
        for number in list(range(1, 9)) + [200]:
            for backend in ("auto", "pread", "mapped"):
                p = self.start("-j3", "--merge=never", "--direct=always", "--backend=" + backend, "-e", job,
                               executable=self.path("runner"),
                               before=limit(resource.RLIMIT_NPROC, number, user=user))
                _, err = p.communicate(timeout=60)
                codes.append(p.returncode)
                if p.returncode == 0:
                    np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
                    os.unlink(self.path("out.npy"))
                    continue
                self.assertIn(p.returncode, (5, 9), (number, err))
                self.assertIn(b"Resource temporarily unavailable", err)
                self.assertEqual(self.left(), ["a.f32", "runner"])
        self.assertEqual(codes[-2:], [0, 0])
        self.assertIn(9, codes)

    def test_few_descriptors(self):
        values = [self.data("%03d.f32" % i, n=300 + i) for i in range(500)]
        job = COPY.replace('"a.f32"', '"*.f32"').replace('"400"', '"1KiB"')
        for number in (32, 20):
            for args in (("-j1",), ("-j2",), ("-j4",), ("-j2", "--backend=pread"),
                         ("-j2", "--direct=always")):
                r = self.run_lsio(*(args + ("-e", job)), before=limit(resource.RLIMIT_NOFILE, number))
                if number < 32 and r.code == 5:  # too few to begin with: it says so
                    self.assertRegex(r.err, "descriptor|open files")
                    self.assertNotIn("out.npy", self.left())
                    continue
                self.assertEqual(r.code, 0, (number, args, r))
                np.testing.assert_array_equal(np.load(self.path("out.npy")), np.concatenate(values))
                os.unlink(self.path("out.npy"))

    def little_address_space(self, job, arguments, sizes, check):
        codes = []
        for mebibytes in sizes:
            r = self.run_lsio(*(arguments + ("-e", job)),
                              before=limit(resource.RLIMIT_AS, int(mebibytes * (1 << 20)), core=0),
                              env={"MALLOC_ARENA_MAX": "1"})
            codes.append(r.code)
            if r.code == 0:
                check()
            else:
                self.assertIn(r.code, (9, 127), (mebibytes, r))  # 127: not even its libraries fit
                self.assertRegex(r.err, "memory|map|room|allocate")
            self.assertEqual([name for name in self.left() if name != "a.f32"], [], (mebibytes, r))
        self.assertEqual(codes[-1], 0)
        self.assertIn(9, codes)

    def test_little_address_space(self):
        values = self.data(n=1 << 20)
        step = 0.25 if os.environ.get("LSIO_SWEEP") else 1
        sizes = [12 + i * step for i in range(int(52 / step))] + [96, 256, 512, 1024, 4096]
        copy = COPY.replace('"400"', '"64KiB"').replace("type =", """transform = function(chunk)
            for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
          end, type =""")

        def check():
            np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
            os.unlink(self.path("out.npy"))

        def check_completed():
            np.testing.assert_array_equal(np.sort(np.load(self.path("out.npy"))), np.sort(values))
            os.unlink(self.path("out.npy"))
            os.unlink(self.path("out.npy.index.npy"))

        self.little_address_space(copy, ("-j2", "--backend=auto"), sizes, check)
        self.little_address_space(copy, ("-j1", "--backend=pread"), sizes[::4] + sizes[-1:], check)
        completed = (copy.replace('npy("out.npy")', 'npy("out.npy", { order = "completed" })')
                     .replace("end, type =", "return chunk.n end, out_max = 16384, type ="))
        self.little_address_space(completed, ("-j3",), sizes[::4] + sizes[-1:], check_completed)
        self.little_address_space(STATS, ("-j4",), sizes[::4] + sizes[-1:], lambda: None)

    def test_file_size_limit(self):
        self.data(n=100000)
        r = self.expect(6, "-e", COPY, before=limit(resource.RLIMIT_FSIZE, 65536))
        self.assertIn("File too large", r.err)
        self.assertEqual(self.left(), ["a.f32"])


if __name__ == "__main__":
    unittest.main()
