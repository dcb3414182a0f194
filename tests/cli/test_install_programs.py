"""The programs of bindings/c, built against the installed library as its README says, and run."""
import array
import glob
import os
import unittest

from install_support import ROOT, Installed, execute, run

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
PROGRAMS = ("first_job", "plain_read", "stream_blocks", "c_transform")
PART = 16384  # floats of a chunk of 64 KiB


class Programs(Installed):
    def fails(self, code, *command, env=None):
        result = execute(*command, env=env)
        self.assertEqual((code, ""), (result.returncode, result.stdout), result.stderr)
        return result.stderr

    def recording(self):
        """Parts of multiples of 1/8, so that sums are exact; the fifth is the loudest, its later twin not taken."""
        parts = [array.array("f", [((i * (p + 3)) % 33 - 16) / (16 * (9 - min(p, 8))) for i in range(PART)])
                 for p in range(7)]
        parts[4] = array.array("f", [-2.0, 1.5] + [0.875] * (PART - 2))
        parts.append(parts[4])
        path = os.path.join(self.folder, "recording.f32")
        with open(path, "wb") as f:
            for part in parts:
                part.tofile(f)
        return path, "chunk 4, from -1 on: %.2f\n" % (2 + (PART - 2) * 0.875 ** 2)

    def check_first_job(self, program, env):
        self.assertEqual("49900 of 100000\n", run(program, self.data, env=env).stdout)
        self.assertEqual("24900 of 100000\n", run(program, self.data, "0.75", env=env).stdout)

    def check_plain_read(self, program, env):
        with open(self.data, "rb") as f:
            data = f.read()
        out = run(program, self.data, "0:1000", "-5:5", "399000:1000", "7:0", "3:70001", env=env, text=False).stdout
        self.assertEqual(data[:1000] + data[-5:] + data[399000:400000] + data[3:70004], out)
        self.assertEqual(b"", run(program, self.data, env=env, text=False).stdout)
        self.assertIn("400000", self.fails(1, program, self.data, "399999:2", env=env))
        for wrong in ("7", "7:", "a:1", "0:-1", "0:1x", "0:9999999999999"):
            self.assertIn("'%s' is no range" % wrong, self.fails(2, program, self.data, wrong, env=env))
        self.assertIn("FILE OFFSET:LENGTH", self.fails(2, program, env=env))

    def check_stream_blocks(self, program, env):
        path, loudest = self.recording()
        self.assertEqual(loudest, run(program, path, env=env).stdout)

    def check_c_transform(self, program, env):
        values = array.array("f", [(i * 7919) % 65521 for i in range(200000)])
        path = os.path.join(self.folder, "peaks.f32")
        for at in (123456, 70000, 150000):  # the first of equal ones, whichever worker has it
            values[at] = 1e6
        with open(path, "wb") as f:
            values.tofile(f)
        self.assertEqual("1e+06 at 70000\n", run(program, path, env=env).stdout)
        values[199999] = float("nan")
        with open(path, "wb") as f:
            values.tofile(f)
        message = self.fails(1, program, path, env=env)
        self.assertIn("element 199999 is no number", message)
        self.assertIn("peaks.f32", message)

    def check_all(self, folder, env=None):
        gone = os.path.join(self.folder, "gone.f32")
        for name in PROGRAMS:
            program = os.path.join(folder, name)
            getattr(self, "check_" + name)(program, env)
            more = ["0:1"] if name == "plain_read" else []
            self.assertIn("gone.f32", self.fails(1, program, gone, *more, env=env))

    def test_are_short(self):
        paths = glob.glob(os.path.join(ROOT, "bindings", "c", "*.c"))
        self.assertEqual(set(PROGRAMS), {os.path.basename(p).split(".")[0] for p in paths})
        for path in paths:
            with open(path) as f:
                self.assertLessEqual(len(f.readlines()), 60, path)

    def test_make(self):
        for options, env in (([], dict(os.environ, LD_LIBRARY_PATH=self.libraries)), (["STATIC=1"], None)):
            folder = self.copied("c")
            run("make", "-s", "CFLAGS=-O2 " + " ".join(STRICT), *options, cwd=folder, env=self.env)
            self.check_all(folder, env)
            run("make", "-s", "clean", cwd=folder)
            self.assertEqual([], [name for name in PROGRAMS if os.path.exists(os.path.join(folder, name))])

    def test_cmake(self):
        for static in ("OFF", "ON"):
            build = self.configure(self.copied("c"), self.prefix, "-DSTATIC=" + static,
                                   "-DCMAKE_C_FLAGS=" + " ".join(STRICT))
            run("ninja", "-C", build)
            self.check_all(build)


if __name__ == "__main__":
    unittest.main()
