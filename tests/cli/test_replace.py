"""exists = "replace": what a new file keeps of the one that it replaces, links that are written through, and
what is never replaced. --json and --errors write into what is there."""
import errno
import os
import shutil
import socket
import stat
import struct
import tempfile
import unittest
from unittest import mock

import numpy as np

import support
from support import RUNNER, RunnerTest, normal_signals

USER, GROUP, OTHER_GROUP = 12345, 23456, 34567

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "400" }), type = "f32", %s
  sink = lsio.%s("%s", { exists = "%s", durability = "%s", %s }),
}
"""
VARIABLE = """out_max = 100, transform = function(chunk)
  %s
  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end
  return chunk.n
end,"""

ACL = "system.posix_acl_access"
USER_OBJ, NAMED_USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


# What stat shows as group bits is the mask: the group itself has none of them.
SHARED = acl((USER_OBJ, 6, 2**32 - 1), (NAMED_USER, 4, 777), (GROUP_OBJ, 0, 2**32 - 1), (MASK, 4, 2**32 - 1),
             (OTHER, 0, 2**32 - 1))


def as_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "only root gives files away")(test)


class ReplaceTest(RunnerTest):
    def setUp(self):
        super().setUp()
        self.values = self.data()
        os.umask(os.umask(0o022))

    def job(self, path="out", exists="replace", kind="raw", durability="batch", options="", keys=""):
        return JOB % (keys, kind, path, exists, durability, options)

    def old(self, name="out", mode=0o600, owner=None, text="old"):
        self.write(name, text)
        if owner:
            os.chown(self.path(name), *owner)
        os.chmod(self.path(name), mode)
        return name

    def check_new(self, name="out"):
        np.testing.assert_array_equal(np.fromfile(self.path(name), "<f4"), self.values)

    def check_old(self, name="out"):
        with open(self.path(name)) as f:
            self.assertEqual("old", f.read())

    def mode(self, name="out"):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def owner(self, name="out"):
        st = os.stat(self.path(name))
        return st.st_uid, st.st_gid

    def run_as(self, uid, gid, groups, code, *args):
        """Runs it as another user, who owns the test's folder and its data."""
        copy = tempfile.mkdtemp(prefix="lsio-runner-")  # the tree may lie where he can't go
        self.addCleanup(shutil.rmtree, copy)
        os.chmod(copy, 0o755)
        runner = shutil.copy(RUNNER, copy)
        os.chown(self.dir, uid, gid)
        os.chmod(self.path("a.f32"), 0o644)

        def become():
            normal_signals()
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        with mock.patch.object(support, "RUNNER", runner):
            return self.expect(code, *args, before=become)


class Kept(ReplaceTest):
    def test_mode(self):
        for mode in (0o600, 0o640, 0o664, 0o666, 0o444, 0o755, 0o604):
            for kind, durability in (("raw", "batch"), ("npy", "none"), ("raw", "each")):
                self.old(mode=mode)
                self.expect(0, "-e", self.job(kind=kind, durability=durability))
                self.assertEqual(oct(mode), oct(self.mode()))
                if kind == "raw":
                    self.check_new()
                else:
                    np.testing.assert_array_equal(np.load(self.path("out")), self.values)

    def test_a_new_file_follows_the_umask(self):
        for mask in (0o022, 0o077):
            self.expect(0, "-e", self.job(), before=lambda: os.umask(mask))
            self.assertEqual(oct(0o666 & ~mask), oct(self.mode()))
            os.remove(self.path("out"))

    def test_what_a_program_may_is_not_handed_on(self):
        for bits in (stat.S_ISUID, stat.S_ISGID, stat.S_ISUID | stat.S_ISGID):
            self.old(mode=bits | 0o755)
            self.expect(0, "-e", self.job())
            self.assertEqual(oct(0o755), oct(self.mode()))

    def test_mode_of_both_files_of_a_pair(self):
        keys = VARIABLE % ""
        self.old("out", 0o640)
        self.old("out.index.npy", 0o600)
        self.expect(0, "-j1", "-e", self.job(options='order = "completed"', keys=keys))
        self.check_new()
        self.assertEqual(10, len(np.load(self.path("out.index.npy"))))
        self.assertEqual((0o640, 0o600), (self.mode(), self.mode("out.index.npy")))

    def test_mode_meanwhile(self):
        # While it is written nobody may read it who could not read the old one.
        keys = VARIABLE % """if chunk.index == 0 then
            os.execute('for f in /proc/$PPID/fd/*; do echo $(stat -Lc %a $f) $(readlink $f); done >open') end"""
        self.old(mode=0o600)
        self.expect(0, "-j1", "-e", self.job(keys=keys))
        with open(self.path("open")) as f:
            mine = [line.split() for line in f if line.rstrip().endswith("(deleted)") or ".lsio-" in line]
        self.assertEqual(["600"], sorted({line[0] for line in mine if self.dir in line[1]}))

    def test_what_stands_there_at_the_end_counts(self):
        keys = VARIABLE % "if chunk.index == 0 then os.execute('%s') end"
        for mode, text in ((0o600, "echo old >out; chmod 600 out"), (0o640, "echo old >out; chmod 640 out")):
            self.expect(0, "-j1", "-e", self.job(keys=keys % text))
            self.assertEqual(oct(mode), oct(self.mode()))
            self.check_new()
        self.expect(0, "-j1", "-e", self.job(keys=keys % "rm out"))  # gone: as it was before
        self.assertEqual(oct(0o640), oct(self.mode()))

    @as_root
    def test_owner(self):
        for owner in ((USER, GROUP), (0, GROUP), (USER, 0)):
            self.old(mode=0o640, owner=owner)
            self.expect(0, "-e", self.job())
            self.assertEqual((owner, oct(0o640)), (self.owner(), oct(self.mode())))
            self.check_new()

    @as_root
    def test_owner_that_cannot_be_kept(self):
        # The new file is his who runs the job; people who could not read the old one can't read it.
        for mode, owner, groups, then, group in (
                (0o600, (0, 0), [], 0o600, GROUP), (0o644, (0, 0), [], 0o644, GROUP),
                (0o640, (0, 0), [], 0o600, GROUP), (0o664, (0, 0), [], 0o644, GROUP),
                (0o604, (0, 0), [], 0o600, GROUP), (0o444, (0, 0), [], 0o444, GROUP),
                (0o640, (0, GROUP), [], 0o640, GROUP), (0o640, (77, OTHER_GROUP), [], 0o600, GROUP),
                (0o664, (77, OTHER_GROUP), [OTHER_GROUP], 0o664, OTHER_GROUP),
                (0o6755, (0, OTHER_GROUP), [OTHER_GROUP], 0o755, OTHER_GROUP),
                (0o640, (USER, OTHER_GROUP), [], 0o600, GROUP)):
            self.old(mode=mode, owner=owner)
            os.chmod(self.path("out"), mode)
            self.run_as(USER, GROUP, groups, 0, "-e", self.job())
            self.assertEqual((oct(then), (USER, group)), (oct(self.mode()), self.owner()), oct(mode))
            self.check_new()

    def set_acl(self, name, kind=ACL, entries=SHARED):
        try:
            os.setxattr(self.path(name), kind, entries)
        except OSError as e:
            if e.errno == errno.EOPNOTSUPP:
                self.skipTest("no access lists here")
            raise

    def test_access_list(self):
        self.old(mode=0o600)
        self.set_acl("out")
        self.assertEqual(0o640, self.mode())
        self.expect(0, "-e", self.job())
        self.assertEqual(SHARED, os.getxattr(self.path("out"), ACL))
        self.assertEqual(0o640, self.mode())
        self.check_new()

    def test_access_list_of_the_folder(self):
        # What the folder gives to new files would let others read what they could not.
        self.set_acl(".", "system.posix_acl_default")
        self.old(mode=0o640)
        os.removexattr(self.path("out"), ACL)
        os.chmod(self.path("out"), 0o640)
        self.expect(0, "-e", self.job())
        self.assertNotIn(ACL, os.listxattr(self.path("out")))
        self.assertEqual(oct(0o640), oct(self.mode()))

    @as_root
    def test_access_list_with_another_group(self):
        self.old(mode=0o600, owner=(0, OTHER_GROUP))
        self.set_acl("out")
        self.run_as(USER, GROUP, [], 0, "-e", self.job())
        self.assertEqual(oct(0o600), oct(self.mode()))  # so the list's mask is empty
        self.check_new()

    def test_other_hard_links_keep_the_old_content(self):
        self.old(mode=0o640)
        os.link(self.path("out"), self.path("other"))
        self.expect(0, "-e", self.job())
        self.check_new()
        self.check_old("other")
        self.assertEqual((0o640, 1), (self.mode(), os.stat(self.path("out")).st_nlink))


class Links(ReplaceTest):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("sub/deep"))

    def link(self, to, name="out"):
        os.symlink(to, self.path(name))

    def check_through(self, target, links=("out",), job=None):
        texts = [os.readlink(self.path(name)) for name in links]
        self.expect(0, "-e", job or self.job())
        self.check_new(target)
        self.assertFalse(os.path.islink(self.path(target)))
        self.assertEqual(texts, [os.readlink(self.path(name)) for name in links])
        for folder, _, files in os.walk(self.dir):
            self.assertEqual([], [name for name in files if name.startswith(".")], folder)

    def test_relative(self):
        self.old("sub/target", 0o640)
        self.link("sub/target")
        self.check_through("sub/target")
        self.assertEqual(0o640, self.mode("sub/target"))

    def test_absolute(self):
        self.old("sub/target")
        self.link(self.path("sub/target"))
        self.check_through("sub/target")

    def test_beside(self):
        self.old("target")
        self.link("target")
        self.check_through("target")

    def test_chain(self):
        self.old("target", 0o644)
        self.link("sub/one")
        self.link("deep/two", "sub/one")
        self.link("../../target", "sub/deep/two")
        self.check_through("target", ("out", "sub/one", "sub/deep/two"))

    def test_through_a_linked_folder(self):
        self.old("sub/deep/target")
        self.link("sub/deep", "folder")
        self.link("folder/target")
        self.check_through("sub/deep/target", ("out", "folder"))
        self.link("../target", "sub/deep/up")  # .. of where the folder is, not of its link
        self.old("sub/target")
        self.check_through("sub/target", ("sub/deep/up",), self.job("folder/up"))

    def test_another_file_system(self):
        if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(self.dir).st_dev:
            self.skipTest("there is only one file system")
        folder = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        target = os.path.join(folder, "target")
        self.write(target, "old")
        self.link(target)
        self.check_through(target)
        self.assertEqual(["target"], os.listdir(folder))

    def test_to_nowhere(self):
        self.link("sub/target")
        self.check_through("sub/target")
        os.remove(self.path("sub/target"))
        self.check_through("sub/target", job=self.job(durability="none"))
        os.remove(self.path("out"))
        self.link("none/target")
        r = self.expect(6, "-e", self.job())
        self.assertIn("No such file or directory", r.err)
        self.assertTrue(os.path.islink(self.path("out")))

    def test_as_many_as_the_kernel_follows(self):
        self.old("link0")
        for i in range(41):
            self.link("link%d" % i, "link%d" % (i + 1))
        self.check_through("link0", ("link40",), self.job("link40"))
        with self.assertRaises(OSError):
            os.stat(self.path("link41"))
        self.expect(6, "-e", self.job("link41"))

    def test_loop(self):
        self.link("other")
        self.link("out", "other")
        r = self.expect(6, "-e", self.job())
        self.assertIn("lead to each other", r.err)
        self.assertIn(os.strerror(errno.ELOOP), r.err)
        self.assertEqual(["a.f32", "other", "out", "sub"], self.left())

    def test_to_a_folder(self):
        for to in ("sub", "sub/", "sub/deep/..", ".", "/"):
            self.link(to)
            r = self.expect(6, "-e", self.job())
            self.assertIn("the output is a directory", r.err)
            os.remove(self.path("out"))

    def test_of_proc(self):
        self.link("/proc/self/fd/1")  # as /dev/stdout is: what that link says is not a path
        with open(self.path("to"), "w") as to:
            r = self.run_lsio("-e", self.job(), stdout=to)
        self.assertEqual(6, r.code, r)
        self.assertIn("not a plain file", r.err)
        self.assertTrue(os.path.islink(self.path("out")))

    def test_a_pair_in_two_folders(self):
        keys = VARIABLE % ""
        self.old("sub/target", 0o640)
        self.old("sub/deep/index", 0o604)
        self.link("sub/target")
        self.link("sub/deep/index", "out.index.npy")
        self.check_through("sub/target", ("out", "out.index.npy"),
                           self.job(options='order = "completed"', keys=keys))
        self.assertEqual(10, len(np.load(self.path("sub/deep/index"))))
        self.assertEqual((0o640, 0o604), (self.mode("sub/target"), self.mode("sub/deep/index")))

    def test_a_link_is_a_name_that_is_taken(self):
        self.old("sub/target")
        for to in ("sub/target", "sub/none", "sub"):
            self.link(to)
            r = self.expect(6, "-e", self.job(exists="error"))
            self.assertIn("the output exists already", r.err)
            self.assertEqual(to, os.readlink(self.path("out")))
            os.remove(self.path("out"))
        self.check_old("sub/target")
        self.assertEqual(["deep", "target"], sorted(os.listdir(self.path("sub"))))

    @as_root
    def test_of_another_user_where_everybody_may_write(self):
        self.old("target")
        os.mkdir(self.path("tmp"))
        os.chmod(self.path("tmp"), 0o1777)
        self.link("../target", "tmp/out")
        os.lchown(self.path("tmp/out"), USER, GROUP)
        r = self.expect(6, "-e", self.job("tmp/out"))
        self.assertIn("another user", r.err)
        self.check_old("target")
        os.chown(self.path("tmp"), USER, GROUP)  # the folder's owner may
        self.check_through("target", ("tmp/out",), self.job("tmp/out"))


class NeverReplaced(ReplaceTest):
    def refused(self, text, name="out", **more):
        before = os.lstat(self.path(name))
        r = self.expect(6, "-e", self.job(name, **more))
        self.assertIn(text, r.err)
        self.assertIn(name, r.err)
        after = os.lstat(self.path(name))
        self.assertEqual((before.st_ino, before.st_mode), (after.st_ino, after.st_mode))

    def test_folder(self):
        os.mkdir(self.path("out"))
        for exists in ("replace", "error"):
            self.refused("is a directory", exists=exists)
            self.refused("is a directory", "out/", exists=exists)

    def test_fifo_and_socket(self):
        os.mkfifo(self.path("out"))
        self.refused("not a plain file")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path("sock"))
            self.refused("not a plain file", "sock")
        os.symlink("out", self.path("link"))
        self.refused("not a plain file", "link")

    @as_root
    def test_devices(self):
        disk = os.stat(self.dir).st_dev
        for name, kind, device in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("disk", stat.S_IFBLK, disk)):
            try:
                os.mknod(self.path(name), kind | 0o600, device)
            except PermissionError:
                self.skipTest("no device can be made here")
            self.refused("not a plain file", name)

    def test_what_comes_under_the_name_meanwhile(self):
        for command, text in (("mkdir out", "is a directory"), ("mkfifo out", "not a plain file"),
                              ("ln -s other out", "not a plain file")):
            keys = VARIABLE % ("if chunk.index == 0 then os.execute('rm -rf out; %s') end" % command)
            self.old()
            r = self.expect(6, "-j1", "-e", self.job(keys=keys))
            self.assertIn(text, r.err)
            self.assertEqual(["a.f32", "out"], self.left())
            self.assertFalse(os.path.isfile(self.path("out")))
            os.rmdir(self.path("out")) if os.path.isdir(self.path("out")) else os.remove(self.path("out"))


class FilesOfTheRunner(ReplaceTest):
    def check(self, option, length):
        self.expect(0, option % "out", "-e", self.job("data", keys=""))
        with open(self.path("out")) as f:
            self.assertEqual(length, len(f.read()) > 0)
        os.remove(self.path("data"))

    def test_what_is_there_stays_what_it_is(self):
        for option, written in (("--json=%s", True), ("--errors=%s", False)):
            self.old("out", 0o600, text="x" * 100000)
            os.link(self.path("out"), self.path("other"))
            if os.geteuid() == 0:
                os.chown(self.path("out"), USER, GROUP)
            before = os.stat(self.path("out"))
            self.check(option, written)
            after = os.stat(self.path("out"))
            self.assertEqual((before.st_ino, before.st_mode, before.st_uid, before.st_gid, 2),
                             (after.st_ino, after.st_mode, after.st_uid, after.st_gid, after.st_nlink))
            if written:
                self.assertEqual("done", self.summary("out")["status"])
            os.remove(self.path("out"))
            os.remove(self.path("other"))

    def test_links(self):
        os.mkdir(self.path("sub"))
        for option, written in (("--json=%s", True), ("--errors=%s", False)):
            os.symlink("sub/target", self.path("out"))
            for _ in range(2):  # to nowhere, and to what is there
                self.check(option, written)
                self.assertEqual("sub/target", os.readlink(self.path("out")))
            os.remove(self.path("out"))
            os.remove(self.path("sub/target"))

    def test_a_new_summary_appears_in_one_go(self):
        keys = VARIABLE % "if chunk.index == 0 then os.execute('test -e s.json && touch seen') end"
        self.expect(0, "-j1", "--json=s.json", "-e", self.job(keys=keys))
        self.assertEqual("done", self.summary()["status"])
        self.assertEqual(["a.f32", "out", "s.json"], self.left())



class Option(ReplaceTest):
    """--replace: as if the sink said so."""

    def test_replaces(self):
        job = self.job(exists="error")
        for kind in job, job.replace("source =", VARIABLE % "" + " source ="):
            for args, env in (["--replace"], {}), (["--replace=yes"], {}), ([], {"LSIO_REPLACE": "1"}):
                self.old()
                self.expect(0, *args, "-e", kind, env=env)
                with open(self.path("out"), "rb") as f:
                    self.assertEqual(f.read(), self.values.tobytes())
                self.assertEqual(stat.S_IMODE(os.stat(self.path("out")).st_mode), 0o600)
        self.old()
        self.expect(0, "-e", job.replace("source =", 'options = { replace = "yes" }, source ='))
        self.assertEqual(os.path.getsize(self.path("out")), self.values.nbytes)
        os.unlink(self.path("out"))
        self.expect(0, "--replace", "-e", job)  # nothing is there
        # A step alone has an output of its own, which may be there from the last look.
        for _ in range(2):
            self.expect(0, "--replace", "--step=1", "-e", job)
        self.assertEqual(os.path.getsize(self.path("out.step1")), 400)

    def test_not(self):
        job = self.job(exists="error")
        self.old()
        for args, env in ([], {}), (["--replace=no"], {}), (["--replace=no"], {"LSIO_REPLACE": "1"}):
            r = self.expect(6, *args, "-e", job, env=env)
            self.assertIn("--replace", r.err)
        with open(self.path("out")) as f:
            self.assertEqual(f.read(), "old")
        self.expect(0, "--replace=no", "-e", self.job())  # the sink says so itself
        self.assertIn("'replace' must be yes or no", self.expect(2, "--replace=maybe", "-e", job).err)
        os.unlink(self.path("out"))
        os.mkdir(self.path("out"))
        self.expect(6, "--replace", "-e", job)
        self.assertEqual(os.listdir(self.path("out")), [])


if __name__ == "__main__":
    unittest.main()
