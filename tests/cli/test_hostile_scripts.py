"""Scripts that go wrong: each way ends with an error that says where, and leaves nothing behind."""
import resource
import unittest

from support import RunnerTest, normal_signals

JOB = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "4KiB" }), type = "f32", sink = lsio.npy("out.npy"),
  %s
}
"""


def limit_memory():
    normal_signals()
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


class Scripts(RunnerTest):
    def setUp(self):
        super().setUp()
        self.data(n=1 << 16)

    def fails(self, code, body, *words):
        for workers in ("-j1", "-j3"):
            r = self.run_lsio(workers, "-e", JOB % body)
            self.assertEqual(r.code, code, (body, r))
            for word in words:
                self.assertRegex(r.err, word, body)
            self.assertEqual(self.left(), ["a.f32"])

    def transform(self, code, body, *words):
        self.fails(code, "transform = function(chunk) %s end" % body, *words)

    def test_errors_of_all_kinds(self):
        where = ("-e:5: ", "a.f32", "step 0")
        self.transform(7, "if chunk.index == 0 then error({}) end", "error value is a table", *where)
        self.transform(7, "if chunk.index == 0 then error(nil) end", "error value is a nil", *where)
        self.transform(7, "error(setmetatable({}, { __tostring = function() return 'own words' end }))",
                       "-e:5: own words")
        self.transform(7, "error(setmetatable({}, { __tostring = function() error 'z' end }))",
                       "while another")
        self.transform(7, "error(('y'):rep(1e6))", "-e:5: yyy")
        self.transform(7, "error('a\\0b')", "-e:5: a")
        self.transform(7, "local x = nil; return x.y", "attempt to index")
        self.transform(7, "coroutine.yield(1)", "attempt to yield")
        self.transform(7, "local function f(x) return 1 + f(x) end return f(1)", "stack overflow")
        self.transform(7, "x = 1", 'global "x"')
        self.transform(7, "return function() end", "returned a function")
        self.transform(7, "chunk.out[chunk.n] = 1", "-e:5: ")
        self.transform(7, "chunk.data[0] = 1", "read-only")
        self.transform(7, "return chunk.data[-1]", "-e:5: ")
        self.transform(7, "return chunk.data[0/0]", "-e:5: ")
        self.transform(7, "return chunk.data[2^60]", "-e:5: ")

    def test_every_function_of_a_job(self):
        body = "%s = function() error('no luck') end"
        rest = ", transform = function() end"
        for name, code in (("setup", 3), ("init", 7), ("transform", 7), ("source", 3)):
            text = (body % name) + (rest if name != "transform" else "")
            if name == "source":
                r = self.run_lsio("-e", (JOB % rest[2:]).replace(
                    'lsio.files("a.f32", { chunk = "4KiB" })', "function() error('no luck') end"))
                self.assertEqual(r.code, code, r)
                self.assertIn("-e:4: no luck", r.err)
                self.assertEqual(self.left(), ["a.f32"])
            else:
                self.fails(code, text, "-e:5: no luck")
        self.fails(7, (body % "finish") + ", reduce = 'sum'" + rest, "-e:5: no luck")
        r = self.run_lsio("-j2", "--merge=never", "-e", JOB % (  # both workers run some of the 64 steps
            "finish = function() return 1 end, reduce = function() error('no luck') end, transform = "
            "function() local t = os.clock() + 0.005 while os.clock() < t do end end"))
        self.assertEqual(r.code, 7, r)
        self.assertIn("-e:5: no luck", r.err)
        self.assertEqual(self.left(), ["a.f32"])  # merged before the output got its name
        r = self.run_lsio("-e", JOB % ((body % "done") + rest))
        self.assertEqual(r.code, 7, r)
        self.assertIn("-e:5: no luck", r.err)

    def test_one_worker_fails_while_others_work(self):
        self.transform(7, """local t = os.clock() + 0.001 while os.clock() < t do end
          if chunk.index == 40 then error("late") end""", "late", "step 40", "offset 163840")

    def test_memory_of_lua(self):
        r = self.run_lsio("-j1", "-e", JOB % """transform = function(chunk)
          local t = {} for i = 1, 2^40 do t[i] = ("x"):rep(2^20) .. i end end""", before=limit_memory)
        self.assertEqual(r.code, 9, r)
        self.assertIn("Lua is out of memory", r.err)
        self.assertEqual(self.left(), ["a.f32"])

    def test_leaving_in_mid_run(self):
        for workers in ("-j1", "-j3"):
            r = self.run_lsio(workers, "-e", JOB % """transform = function(chunk)
              if chunk.index == 20 then os.exit(42) end end""")
            self.assertEqual(r.code, 42, r)
            self.assertEqual(self.left(), ["a.f32"])

    def test_offsets_behind_the_end(self):
        r = self.expect(2, "-e", (JOB % "").replace('chunk = "4KiB"', 'offset = "1MiB"'))
        self.assertIn("offset 1048576 lies behind the end of its object of 262144 bytes", r.err)
        self.assertIn("a.f32", r.err)


if __name__ == "__main__":
    unittest.main()
