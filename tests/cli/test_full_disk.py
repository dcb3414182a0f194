"""Outputs on file systems that are too small at every stage, that have no inode left, that are read-only,
or that are others than the current folder's. Needs root to mount; the rest runs for everybody."""
import os
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

from support import COPY, RunnerTest

KINDS = {
    "npy": 'lsio.npy("%s")',
    "each": 'lsio.npy("%s", { durability = "each" })',
    "window": 'lsio.npy("%s")',
    "completed": 'lsio.raw("%s", { order = "completed" })',
}


class FullDisk(RunnerTest):
    VALUES = 1 << 18  # 1 MiB

    def job(self, kind, path):
        job = COPY.replace('"400"', '"64KiB"').replace('lsio.npy("out.npy")', KINDS[kind] % path)
        if kind in ("window", "completed"):
            job = job.replace("type =", """out_max = 16384, transform = function(chunk)
              for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
              return chunk.n end, type =""")
        return job

    def mount(self, *options):
        if os.geteuid() != 0:
            self.skipTest("needs root to mount")
        folder = tempfile.mkdtemp(dir=self.dir)
        r = subprocess.run(["mount"] + list(options) + [folder], stderr=subprocess.PIPE, text=True)
        if r.returncode != 0:
            self.skipTest("cannot mount here: " + r.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", folder], stderr=subprocess.DEVNULL)
        return folder

    def fills(self, folder, *arguments):
        """Every kind of sink: 6 with cause and remedy and nothing left, or the whole output."""
        done = 0
        for kind in KINDS:
            path = os.path.join(folder, "out")
            r = self.run_lsio(*(arguments + ("-e", self.job(kind, path))))
            if r.code == 0:
                size = os.path.getsize(path)
                self.assertGreaterEqual(size, 4 * self.VALUES)
                done += 1
            else:
                self.assertEqual(r.code, 6, r)
                self.assertRegex(r.err, "No space left|Read-only")
                self.assertIn(path, r.err)
                self.assertRegex(r.err, "make room|is read-only")
                self.assertEqual([n for n in os.listdir(folder) if n != "lost+found"], [])
            for name in ("out", "out.index.npy"):
                if os.path.exists(os.path.join(folder, name)):
                    os.unlink(os.path.join(folder, name))
        return done

    def test_every_size(self):
        self.data(n=self.VALUES)
        done = []
        for kib in (4, 16, 512, 1024, 1028, 1032, 1048, 4096):
            folder = self.mount("-t", "tmpfs", "none", "-o", "size=%dk" % kib)
            done.append(self.fills(folder))
        self.assertEqual((done[0], done[-1]), (0, len(KINDS)))

    def test_no_inode(self):
        self.data(n=self.VALUES)
        folder = self.mount("-t", "tmpfs", "none", "-o", "size=8m,nr_inodes=1")
        self.assertEqual(self.fills(folder), 0)

    def test_a_disk(self):
        if not shutil.which("mkfs.ext4"):
            self.skipTest("no mkfs.ext4 here")
        self.data(n=self.VALUES)
        image = self.path("image")
        for mebibytes in (1, 16):
            with open(image, "wb") as f:
                f.truncate(mebibytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image], check=True,
                           stderr=subprocess.DEVNULL)
            folder = self.mount("-o", "loop", image)
            for direct in ("auto", "always"):
                self.assertEqual(self.fills(folder, "--direct=" + direct), len(KINDS) if mebibytes > 1 else 0)
            subprocess.run(["umount", folder], check=True)

    def test_read_only(self):
        self.data(n=self.VALUES)
        folder = self.mount("-t", "tmpfs", "none", "-o", "ro")
        self.assertEqual(self.fills(folder), 0)

    def test_standard_output(self):
        """What is lost while the script goes on is explained at the end, too."""
        folder = self.mount("-t", "tmpfs", "none", "-o", "size=64k")
        self.data(n=10)
        for n in (65536, 80000, 200000):
            job = COPY.replace("sink =", 'transform = function() io.write(("x"):rep(%d)) io.write("y") end, done_sink ='
                               % n).replace('done_sink = lsio.npy("out.npy"),', "")
            with open(os.path.join(folder, "out"), "w") as out:
                r = self.expect(0 if n == 1 else 6, "-q", "-e", job, stdout=out)
            self.assertEqual(r.err, "lsio-lua: standard output could not be written: No space left on device\n")

    def test_another_file_system(self):
        values = self.data(n=self.VALUES)
        if not os.access("/dev/shm", os.W_OK):
            self.skipTest("no /dev/shm here")
        folder = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.expect(0, "-e", self.job("npy", folder + "/out"))
        np.testing.assert_array_equal(np.load(folder + "/out"), values)
        self.assertEqual(os.listdir(folder), ["out"])


if __name__ == "__main__":
    unittest.main()
