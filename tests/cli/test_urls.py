"""Sources named by file:// URLs, and by schemes that LSIO does not have."""
import unittest
import urllib.parse

from support import RunnerTest

# Index, name and bytes of every chunk.
JOB = """local lsio = require "lsio"
return lsio.job {
  source = %s,
  type = "u8",
  state = function() return { lines = "" } end,
  transform = function(chunk, state)
    state.lines = state.lines .. ("%%d %%s %%d\\n"):format(chunk.index, chunk.name, chunk.bytes)
  end,
  reduce = { lines = "concat" },
  done = function(r) io.write(r.lines) end,
}"""


class Urls(RunnerTest):
    def setUp(self):
        super().setUp()
        self.names = [self.path(name) for name in ("a b.bin", "c%41.bin", "d*.bin")]
        for i, name in enumerate(self.names):
            with open(name, "wb") as f:
                f.write(b"x" * (10 + i))

    def url(self, name):
        return "file://" + urllib.parse.quote(name)

    def lines(self, source, **more):
        r = self.expect(0, "-j1", "-e", JOB % source, **more)
        return sorted(r.out.splitlines())

    def want(self, *which):
        return ["%d %s %d" % (k, self.names[i], 10 + i) for k, i in enumerate(which)]

    def test_they_are_paths(self):
        for i, name in enumerate(self.names):
            self.assertEqual(self.lines("lsio.files('%s')" % self.url(name)), self.want(i))
        self.assertEqual(self.lines("lsio.files{'%s'}" % "','".join(map(self.url, self.names))), self.want(0, 1, 2))

    def test_patterns(self):
        self.assertEqual(self.lines("lsio.files('%s/*.bin')" % self.url(self.path(""))[:-1]), self.want(0, 1, 2))
        # What is written as %2A is that sign, beside one that is a pattern's.
        self.assertEqual(self.lines("lsio.files('%s/?%%2A.*')" % self.url(self.path(""))[:-1]), self.want(2))

    def test_lists(self):
        lines = [self.url(self.names[2]), "", self.names[0], self.url(self.names[1])]
        for end in ("\n", "\r\n"):
            for last in ("", end):
                self.assertEqual(self.lines('lsio.list("-")', input=end.join(lines) + last), self.want(2, 0, 1))

    def test_ranges(self):
        objects = "{'%s','%s'}" % (self.url(self.names[1]), self.names[2])
        self.assertEqual(self.lines("lsio.ranges{objects=%s, object={1,0}, offset={0,0}, length={12,11}}" % objects),
                         self.want(2, 1))
        for names in ((self.names[0], self.url(self.names[1])), (self.names[0], self.names[1])):
            self.write("r.csv", "path,offset,length\n%s,0,10\n%s,0,11\n" % names)
            for file in ("r.csv", self.url(self.path("r.csv"))):
                self.assertEqual(self.lines("lsio.ranges{file='%s'}" % file), self.want(0, 1))

    def test_what_is_none(self):
        for url, words in (("file://data/x", "file:///data/x"), ("file:///x%zz", "%25"),
                           ("s3://bucket/key", "can't read s3://"), ("gs://bucket/*", "can't read gs://"),
                           ("./s3://x", "check the path")):
            r = self.expect(4, "-e", JOB % ("lsio.files('%s')" % url))
            self.assertIn(words, r.err)
            self.assertIn(url, r.err)
        self.write("r.csv", "path,offset,length\nfile://data/x,0,10\n")
        self.assertIn("file:///data/x", self.expect(4, "-e", JOB % "lsio.ranges{file='r.csv'}").err)
        r = self.expect(4, "-e", JOB % 'lsio.list("-")', input="file://data/x\n")
        self.assertIn("file:///data/x", r.err)


if __name__ == "__main__":
    unittest.main()
