-- What C can't do alone with the values that a program gives and gets (lua/host/values.c): 64-bit integers
-- and views. Both are cdata, which C's API of Lua knows nothing of.
local ffi = require "ffi"
local view = require "lsio.view"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

-- Of the halves of 64 bits, as whole numbers below 2^32.
function M.integer(high, low, unsigned)
  local v = ffi.cast(uint64, high) * 4294967296ULL + ffi.cast(uint64, low)
  return unsigned and v or ffi.cast(int64, v)
end

-- A view, for reading only, of an array of the program's; `lent` has all that must not outlive the job.
function M.array(id, address, n, lent)
  local v = view.make(id, ffi.cast("const void *", address), n, false)
  lent[v] = true
  return v
end

return M
