"""Many files that are read whole: what they are is only known when they are opened."""
import hashlib
import os
import time
import unittest

import numpy as np

from support import RunnerTest

N = 1100  # enough that planning does not look at each
# Index, name, size and sum of every file.
JOB = """local lsio = require "lsio"
return lsio.job {
  source = lsio.files({ "d/**" }, { whole = true }),
  type = "u8", %s
  state = function() return { lines = "", n = 0 } end,
  transform = function(chunk, state, params)
    %s
    assert(chunk.bytes == chunk.object_size and chunk.length == chunk.bytes and chunk.offset == 0)
    state.n = state.n + 1
    state.lines = state.lines .. ("%%d %%s %%d %%d\\n"):format(chunk.index, chunk.name, chunk.n,
      lsio.k.sum(chunk.data))
  end,
  reduce = { lines = "concat", n = "sum" },
  done = function(r) io.write(r.lines) end,
}"""


class ManyFiles(RunnerTest):
    def make(self, sizes):
        """Files in folders of a hundred; the lines that a job must print of them."""
        random = np.random.default_rng(7)
        lines = []
        for i, size in enumerate(sizes):
            name = "d/%02d/%04d" % (i // 100, i)
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            data = random.integers(0, 256, size, dtype=np.uint8)
            data.tofile(self.path(name))
            lines.append("%d %s %d %d" % (i, name, size, data.sum(dtype=np.uint64)))
        return lines

    def sizes(self, large=()):
        sizes = [(i * 7919) % 9000 if i % 10 else 0 for i in range(N)]
        for at, size in large:
            sizes[at] = size
        return sizes

    def same(self, want, *options, job=JOB % ("", "")):
        r = self.expect(0, "--json=s.json", *options, "-e", job)
        self.assertEqual(sorted(r.out.splitlines()), sorted(want))
        s = self.summary()
        self.assertEqual(s["bytes_requested"], sum(int(x.split()[2]) for x in want))
        self.assertEqual((s["chunks"], s["steps"], s["steps_failed"]), (len(want), len(want), 0))
        return r

    def test_against_numpy(self):
        want = self.make(self.sizes())
        for options in (["-j1"], ["-j3", "--backend=pread"], ["-j2", "--direct=always"],
                        ["-j2", "--queue-depth=3"], ["-j4", "--memory=8MiB"]):
            self.same(want, *options)
        self.same(want[275:550], "-j2", "--shard=1/4")
        self.same(want[:1050], "-j2", "--limit=1050")
        r = self.expect(0, "--explain=json", "-e", JOB % ("", ""))  # plans are of the sizes there are
        self.assertIn('"bytes_requested": %d' % sum(self.sizes()), r.out)

    def test_large_ones_among_them(self):
        """Beyond a worker's arena, beyond its share, beyond the job's memory."""
        want = self.make(self.sizes([(50, 5 << 20), (51, 3 << 20), (700, 5 << 20), (1099, 9 << 20)]))
        for options in (["-j1"], ["-j3"], ["-j3", "--backend=pread", "--direct=always"],
                        ["-j3", "--memory=32MiB"], ["-j2", "--memory=26MiB"]):
            self.same(want, *options)
        r = self.expect(9, "-j2", "--memory=12MiB", "-e", JOB % ("", ""))
        self.assertRegex(r.err, r"a step needs \d+ bytes of memory, but the job may use 12582912")
        self.assertIn("d/10/1099", r.err)
        self.assertIn("--memory", r.err)

    def holds_all(self, name):
        """The bytes of all files, in their order."""
        whole, got = hashlib.sha256(), hashlib.sha256()
        for i in range(N):
            with open(self.path("d/%02d/%04d" % (i // 100, i)), "rb") as f:
                whole.update(f.read())
        with open(self.path(name), "rb") as f:
            got.update(f.read())
        self.assertEqual(got.digest(), whole.digest())

    def during(self, action, code, *parts, on_error="", first=0):
        """The job does something to its own files in the step of the first one."""
        job = JOB % (on_error, "if chunk.index == %d then %s end" % (first, action))
        r = self.expect(code, "-j1", "--json=s.json", "-e", job)
        for part in parts:
            self.assertIn(part, r.err)
        return r

    def test_large_ones_that_are_lent(self):
        """What is used where it lies needs no buffer, however large it is."""
        want = self.make(self.sizes([(5, 100 << 20), (600, 3 << 20)]))
        self.same(want, "-j2", "--memory=64MiB", "--backend=mapped")
        self.assertEqual(self.summary()["bytes_direct"], self.summary()["bytes_read"])

    def test_changes_while_it_runs(self):
        self.make(self.sizes([(0, 5000), (1, 5000)]))
        for action, what in (
                ('io.open(chunk.name, "w"):close()', "was truncated"),
                ('local f = io.open(chunk.name, "a") f:write("x") f:close()', "has grown"),
                ('os.execute("touch -d 2001-01-01 " .. chunk.name)', "was modified"),
                ('os.execute("cp -p d/00/0001 x; mv x " .. chunk.name)', "was replaced"),
                ('os.remove(chunk.name)', "was replaced")):
            for name in ("d/00/0000", "d/00/0001"):
                with open(self.path(name), "wb") as f:
                    f.write(bytes(5000))
            self.during(action, 4, "a source " + what, "d/00/0000")

    def test_at_rest(self):
        """Files that changed some seconds ago, not just now, are read as they are opened. What happens to
        them afterwards is no concern of the step's; what happens before is told, or it is read."""
        want = self.make(self.sizes([(0, 5000), (1, 5000), (40, 16383), (41, 16384), (42, 70000)]))
        time.sleep(5)
        for options in (["-j1"], ["-j3"], ["-j2", "--backend=pread"], ["-j2", "--queue-depth=1"],
                        ["-j2", "--memory=8MiB"], ["-j2", "--backend=mapped"], ["-j2", "--direct=always"]):
            self.same(want, *options)
        write = 'local f = io.open("d/%s", "w") f:write("%s") f:close()'
        self.during(write % ("00/0005", "x"), 0)  # it has been read
        self.same(want[:5] + ["5 d/00/0005 1 %d" % ord("x")] + want[6:], "-j1")
        action = write % ("09/0901", "abc") + ' os.remove("d/09/0903")'
        self.during(action, 4, "a source does not exist", "d/09/0903")
        self.make(self.sizes())
        time.sleep(5)
        r = self.during(write % ("09/0901", "abc"), 0)
        self.assertIn("901 d/09/0901 3 %d\n" % sum(b"abc"), r.out)

    def test_streams_of_several_workers(self):
        """What one worker's popen flushes are the streams of all: each line must reach its own file."""
        self.make(self.sizes())
        job = JOB % ("", """log = log or io.open("log." .. chunk.index, "w")
            log:write(chunk.index, "\\n")
            if chunk.index % 10 == 0 then local p = io.popen("true") p:close() end""")
        self.expect(0, "-j3", "-e", job.replace("return lsio", "local log\nreturn lsio", 1))
        logs = [x for x in self.left() if x.startswith("log.")]
        self.assertGreater(len(logs), 1)
        seen = []
        for name in logs:
            with open(self.path(name)) as f:
                seen += [int(x) for x in f]
        self.assertEqual(sorted(seen), list(range(N)))

    def test_gone_before_it_is_opened(self):
        self.make(self.sizes([(0, 5000)]))
        self.during('os.remove("d/10/1099")', 4, "a source does not exist", "d/10/1099")

    def test_a_folder_in_its_place(self):
        self.make(self.sizes([(0, 5000)]))
        self.during('os.remove("d/10/1099") os.execute("mkdir d/10/1099")', 4, "a source is a directory",
                    "d/10/1099")

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody who may not read")
    def test_unreadable(self):
        self.make(self.sizes())
        os.chmod(self.dir, 0o755)
        os.chmod(self.path("d/09/0907"), 0)

        def nobody():
            os.setgid(65534)
            os.setuid(65534)
        p = self.start("-j2", "-e", JOB % ("", ""), before=nobody)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 4, err)
        self.assertIn(b"d/09/0907", err)
        self.assertIn(b"must be readable by user id 65534", err)

    def test_links_and_other_names(self):
        """What a folder's list does not call a regular file is looked at before."""
        want = self.make(self.sizes())
        os.symlink("../00/0003", self.path("d/05/0500-link"))
        os.symlink("nothing", self.path("d/05/0501-link"))
        os.mkfifo(self.path("d/05/fifo"))
        names = sorted([x.split()[1] for x in want] + ["d/05/0500-link"])
        lines = {x.split()[1]: x.split()[2:] for x in want}
        lines["d/05/0500-link"] = lines["d/00/0003"]
        self.same(["%d %s %s" % (i, n, " ".join(lines[n])) for i, n in enumerate(names)], "-j3")

    def test_results_in_their_places(self):
        """A sink needs the sizes beforehand: it gets them."""
        self.make(self.sizes())
        self.expect(0, "-j3", "-e", """local lsio = require "lsio"
            return lsio.job { source = lsio.files("d/*/*", { whole = true }), type = "u8",
                              sink = lsio.raw("out.raw") }""")
        self.holds_all("out.raw")


if __name__ == "__main__":
    unittest.main()
