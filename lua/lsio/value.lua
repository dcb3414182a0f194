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

-- What cdata is: its kind (enum lsio_value_kind) and, of an integer, its halves; of a view or an array, type,
-- address, elements, and where they lie in an array of C's (`blocks`, by views) the address of that. Nothing:
-- it is something else.
function M.describe(v, blocks)
  local signed = ffi.istype(int64, v)
  if signed or ffi.istype(uint64, v) then
    local bits = ffi.cast(uint64, v)
    return signed and 2 or 3, tonumber(bits / 4294967296ULL), tonumber(bits % 4294967296ULL)
  end
  local a = type(v) == "cdata" and ((view.is_ro(v) or view.is_rw(v)) and v or view.of_array(v))
  if not a then return nil end
  local block = blocks[v]
  return 8, a.dtype, tonumber(ffi.cast("uintptr_t", a.ptr)), a.n,
    block and tonumber(ffi.cast("uintptr_t", block))
end

return M
