"""Integers of 64 bits: whichever way a job gets one, string.format takes it, with and without LuaJIT's
compiler."""
import numpy as np

from support import RunnerTest, unittest

BIG = (1 << 63) - 5
TYPES = {"i64": "<i8", "u64": "<u8"}

# Every way is taken often enough to be compiled. `say` gets an array and an index, or a function.
JOB = """
local lsio = require "lsio"
local k, big = lsio.k, %(big)d%(suffix)s
local function get(v, i) return v[i] end
local function say(name, f, ...)
  local seen = {}
  if type(f) ~= "function" then return say(name, get, f, ...) end
  for i = 1, 200 do seen[i] = f(...) end
  for i = 1, 200 do
    local ok, text = pcall(string.format, "%%d", seen[i])
    if not ok or text ~= "%(big)d" then return print(name, text) end
  end
  print(name, "right")
end
local own = k.array("%(type)s", 4)
return lsio.job {
  source = lsio.ranges { objects = "data", offset = { 0 }, length = { 24 }, tag = { %(big)dLL } },
  type = "%(type)s", sink = lsio.npy("out.npy", { exists = "replace" }),
  setup = function() return { big = big, list = { big }, array = own } end,
  state = "%(type)s most, list[3];",
  transform = function(chunk, state, params)
    local data, out, scratch = chunk.data, chunk.out, chunk.scratch
    for i = 0, chunk.n - 1 do out[i], scratch[i], own[i], state.list[i] = big, big, big, big end
    state.most = big
    say("chunk.data", data, 1)
    say("chunk.data + 0", function() return data[1] + 0 end)
    say("chunk.out", out, 1)
    say("chunk.scratch", scratch, 1)
    say("chunk.tag", function() return chunk.tag end)
    say("lsio.k.array", own, 1)
    say("state", function() return state.most end)
    say("array of state", function() return state.list[1] end)
    say("params", function() return params.big end)
    say("table of params", function() return params.list[1] end)
    say("sum_i64", function() return k.sum_i64(data, 1) end)
    for _, kernel in ipairs { "min", "max", "minmax" } do
      say(kernel, function() return (k[kernel](data)) end)
    end
    say("sum_minmax", function() return (select(2, k.sum_minmax(data))) end)
    say("stats", function() return (select(2, k.stats(data, 3, 0))) end)
    say("argmax", function() return (select(2, k.argmax(data))) end)
    say("ffi", function() return big end)
  end,
  finish = function(state)
    say("state in finish", function() return state.most end)
    return { most = state.most, list = state.list, none = big }
  end,
  reduce = { most = "max", list = "max", none = "none" },
  done = function(result)
    say("result", function() return result.most end)
    say("array of the result", function() return result.list[1] end)
  end,
}
"""
WAYS = """chunk.data; chunk.data + 0; chunk.out; chunk.scratch; chunk.tag; lsio.k.array; state; array of state;
params; table of params; sum_i64; min; max; minmax; sum_minmax; stats; argmax; ffi; state in finish; result;
array of the result"""


class TestIntegers(RunnerTest):
    def check(self, type_name, jit):
        np.full(3, BIG, TYPES[type_name]).tofile(self.path("data"))
        text = JOB % {"type": type_name, "big": BIG, "suffix": "ULL" if type_name == "u64" else "LL"}
        out = self.expect(0, "-j1", "-e", text, env={"LSIO_JIT": jit}).out
        ways = [way.strip() for way in WAYS.replace("\n", " ").split(";")]
        self.assertEqual(out.splitlines(), ["%s\tright" % way for way in ways])
        np.testing.assert_array_equal(np.load(self.path("out.npy")), np.full(3, BIG, TYPES[type_name]))

    def test_every_way(self):
        for type_name in TYPES:
            for jit in "", "off":
                with self.subTest(type=type_name, jit=jit or "on"):
                    self.check(type_name, jit)

    def test_reduce_and_state_functions(self):
        np.full(30, BIG, "<i8").tofile(self.path("data"))
        job = """
        local lsio = require "lsio"
        return lsio.job { type = "i64", source = lsio.files("data", { chunk = 24 }),
          state = function() return {} end,
          transform = function(chunk, state) state.x, state.y = chunk.data[0], chunk.tag + 0LL end,
          reduce = function(a, b)
            print(string.format("%d %d", a.x, b.x))
            return { x = a.x }
          end,
          done = function(r) print(string.format("%d", r.x)) end }"""
        for jit in "", "off":
            out = self.expect(0, "-e", job, env={"LSIO_JIT": jit}).out.splitlines()
            self.assertEqual(out[-1], str(BIG))
            for line in out[:-1]:
                self.assertEqual(line, "%d %d" % (BIG, BIG))


if __name__ == "__main__":
    unittest.main()
