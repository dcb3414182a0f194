-- What the functions of lsio.k share: checks of their arguments, and the C functions by element type.
-- `name` is the kernel's, `what` the argument's; both are for messages only. The functions for each type
-- are constants of a trace, because dtype is a constant of a view's type.
local ffi = require "ffi"
local core = require "lsio.core"
local util = require "lsio.util"
local view = require "lsio.view"

local floor, type = math.floor, type
local is_ro, is_rw = view.is_ro, view.is_rw

local M = {}
core.declare_kernels()
local K = core.vt.kernels()
M.K = K

-- Bytes of an element by type id: a table without methods, so that it folds.
M.size = {}
for id = 0, 9 do M.size[id] = view.types[id].size end
local size = M.size

local function bad(text, ...) error(text:format(...), 0) end
M.bad = bad

-- A view to read from.
function M.source(x, name, what)
  if type(x) == "cdata" and (is_ro(x) or is_rw(x)) then return x end
  local v, why = view.of_array(x)
  if not v then bad("%s: %s%s", name, what and what .. ": " or "", why) end
  return v
end

-- A view of at least n elements to write to.
function M.target(x, n, name, what)
  what = what or "dst"
  if type(x) == "cdata" then
    if is_rw(x) then
      if n > x.n then bad("%s: %s has %.0f elements, %.0f are to be written", name, what, x.n, n) end
      return x
    end
    if is_ro(x) then bad("%s: %s is read-only; write to chunk.out or chunk.scratch", name, what) end
  end
  local v, why = view.of_array(x)
  if not v then bad("%s: %s: %s", name, what, why) end
  if is_ro(v) then bad("%s: %s is a const array", name, what) end
  if n > v.n then bad("%s: %s has %.0f elements, %.0f are to be written", name, what, v.n, n) end
  return v
end

-- A further view to read n elements from.
function M.operand(x, n, name, what)
  x = M.source(x, name, what)
  if n > x.n then bad("%s: %s has %.0f elements, %.0f are to be read", name, what, x.n, n) end
  return x
end

function M.count(src, n, name)
  if n == nil then return src.n end
  if type(n) == "number" and n >= 0 and n <= src.n and floor(n) == n then return n end
  bad("%s: n is %s, not a whole number from 0 to %.0f", name, util.show(n), src.n)
end

function M.number(x, name, what)
  if type(x) == "number" then return x end
  bad("%s: %s must be a number, not %s", name, what, util.show(x))
end

-- A whole number within [low, high]; `high` may be nil.
function M.whole(x, low, high, name, what)
  if util.whole(x, low, high or 9007199254740992) then return x end
  if high then
    bad("%s: %s is %s, not a whole number from %.0f to %.0f", name, what, util.show(x), low, high)
  end
  bad("%s: %s is %s, not a whole number from %.0f", name, what, util.show(x), low)
end

-- b, called `what` (dst), must be of the type of a, called `of` (src).
function M.same_type(a, b, name, what, of)
  if a.dtype ~= b.dtype then
    bad("%s: %s is %s, but %s is %s", name, of or "src", a.type, what or "dst", b.type)
  end
end

-- Fails when n elements of src, called `of`, share memory with n of dst, called `what`, unless both start
-- at one place and dst's elements are not larger. With n_dst, dst has so many and may not start there.
function M.no_overlap(src, n, dst, name, n_dst, what, of)
  local a, b = ffi.cast("intptr_t", src.ptr), ffi.cast("intptr_t", dst.ptr)
  local size_a, size_b = size[src.dtype], size[dst.dtype]
  if a == b and size_b <= size_a and not n_dst then return end
  n_dst = n_dst or n
  if n > 0 and n_dst > 0 and a < b + n_dst * size_b and b < a + n * size_a then
    bad("%s: %s and %s overlap", name, of or "src", what or "dst")
  end
end

-- { [type id] = function pointer } of one field of the table.
function M.by_type(field, types)
  local out = {}
  for id = 0, (types or 10) - 1 do out[id] = K[field][id] end
  return out
end

-- { [src type] = { [dst type] = function pointer } }
function M.by_types(field)
  local out = {}
  for a = 0, 9 do
    out[a] = {}
    for b = 0, 9 do out[a][b] = K[field][a][b] end
  end
  return out
end

function M.exact(v) -- int64 results that a double holds become numbers
  if type(v) == "cdata" then
    if ffi.istype("uint64_t", v) then
      return v <= 9007199254740992ULL and tonumber(v) or v
    end
    return v >= -9007199254740992LL and v <= 9007199254740992LL and tonumber(v) or v
  end
  return v
end

M.cells = {} -- two elements of each type for results
for id = 0, 9 do M.cells[id] = ffi.new(view.types[id].c .. "[2]") end

return M
