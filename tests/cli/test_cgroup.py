"""A control group's limits of memory and CPU time: defaults follow them and no job is killed for going
beyond. Needs root and a hierarchy (v1 or v2) in which the test may make a group."""
import os
import time
import unittest

import numpy as np

from support import COPY, RunnerTest, normal_signals

BASE = "/sys/fs/cgroup"


class Group:
    """A group with a limit; `enter` is for the child that runs in it."""

    def __init__(self, controller, files):
        unified = os.path.exists(os.path.join(BASE, "cgroup.controllers"))
        parent = BASE if unified else os.path.join(BASE, controller)
        self.path = os.path.join(parent, "lsio-test-%d" % os.getpid())
        if unified:
            with open(os.path.join(BASE, "cgroup.subtree_control"), "w") as f:
                f.write("+" + controller)
        os.mkdir(self.path)
        for name, value in files[1 if unified else 0]:
            with open(os.path.join(self.path, name), "w") as f:
                f.write(value)

    def enter(self):
        normal_signals()
        with open(os.path.join(self.path, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))

    def remove(self):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:  # who was in it is just leaving
                time.sleep(0.05)


class ControlGroups(RunnerTest):
    def group(self, controller, v1, v2):
        if os.geteuid() != 0:
            self.skipTest("needs root to make a control group")
        try:
            group = Group(controller, (v1, v2))
        except OSError as e:
            self.skipTest("no control group can be made: %s" % e)
        self.addCleanup(group.remove)
        return group

    def test_memory(self):
        limit = str(64 << 20)
        group = self.group("memory", [("memory.limit_in_bytes", limit)], [("memory.max", limit)])
        values = self.data(n=16 << 20)  # 64 MiB to read and 64 MiB to write: the page cache counts as well
        r = self.expect(0, "--doctor", before=group.enter)
        self.assertRegex(r.out, r"64(\.0+)? MiB")
        copy = COPY.replace('"400"', '"256KiB"')
        for more in ("", "out_max = 65536, transform = function(c) lsio.k.copy(c.data, c.n, c.out) "
                     "return c.n end,"):
            job = copy.replace("type =", more + "type =")
            plan = self.expect(0, "--explain=json", "-e", job, before=group.enter)
            self.assertRegex(plan.out, r'"memory"')
            r = self.expect(0, "--json=s.json", "-e", job, before=group.enter)
            np.testing.assert_array_equal(np.load(self.path("out.npy")), values)
            # A quarter of the limit, and what any process needs.
            self.assertLess(self.summary()["peak_memory"], (16 + 32) << 20)
            os.unlink(self.path("out.npy"))
        whole = COPY.replace('chunk = "400"', "whole = true")
        r = self.expect(9, "-e", whole, before=group.enter)  # 64 MiB in one step: said before it is tried
        self.assertIn("--memory", r.err)

    def test_cpu_time(self):
        group = self.group("cpu", [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")],
                           [("cpu.max", "100000 100000")])
        self.data(n=1 << 20)
        self.expect(0, "--json=s.json", "-e", COPY.replace('"400"', '"16KiB"'), before=group.enter)
        self.assertEqual(len(self.summary()["workers"]), 1)  # one CPU's worth of time, however many there are


if __name__ == "__main__":
    unittest.main()
