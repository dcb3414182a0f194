"""What the tests of lsio.k share: a job that takes arrays from files and puts them there."""
import numpy as np

from support import RunnerTest

TYPES = {"i8": "int8_t", "u8": "uint8_t", "i16": "int16_t", "u16": "uint16_t", "i32": "int32_t",
         "u32": "uint32_t", "i64": "int64_t", "u64": "uint64_t", "f32": "float", "f64": "double"}
FLOATS = ("f32", "f64")

# One step over an empty file; arrays come from and go to files that numpy knows.
JOB = """
local lsio, ffi = require "lsio", require "ffi"
local k = lsio.k
local function array(ctype, n) return ffi.new(ctype .. "[?]", n) end
local function load(name, ctype)
  local f = assert(io.open(name, "rb"))
  local s = f:read "*a"
  f:close()
  local a = array(ctype, #s / ffi.sizeof(ctype))
  ffi.copy(a, s, #s)
  return a, #s / ffi.sizeof(ctype)
end
local function save(name, a)
  local f = assert(io.open(name, "wb"))
  f:write(ffi.string(a, ffi.sizeof(a)))
  f:close()
end
local function refused(f, ...) print(select(2, pcall(f, ...))) end
return lsio.job { source = lsio.files "null", transform = function(chunk)
%s
end }
"""


def dtype(name):
    return np.dtype("<%s%d" % (name[0], int(name[1:]) // 8))


class KernelTest(RunnerTest):
    def setUp(self):
        super().setUp()
        self.write("null", "")
        self.random = np.random.default_rng(7)

    def lua(self, body, code=0):
        """Runs `body` as a transform; the lines that it printed."""
        return self.expect(code, "-e", JOB % body).out.splitlines()

    def put(self, name, values):
        values.tofile(self.path(name))
        return values

    def get(self, name, type_name):
        return np.fromfile(self.path(name), dtype(type_name))

    def values(self, type_name, n=1003):
        """Small numbers, so that sums are exact; floats with fractions, zeros and NaN."""
        if type_name in FLOATS:
            v = (self.random.integers(-4000, 4000, n) / 16).astype(dtype(type_name))
            v[::17] = np.nan
            return v
        return self.random.integers(0 if type_name[0] == "u" else -100, 100, n).astype(dtype(type_name))

    def same(self, got, want):
        np.testing.assert_array_equal(got, want)
