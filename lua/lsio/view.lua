-- Views: checked, typed windows on memory that C owns. `v[i]` is 0-based; an index out of range, a
-- fractional one or an unknown name is an error. One pair of C types per element type: `ro` (reads
-- only) and `rw`. Both lie in memory like lsio_view, through which they are filled, so that for user
-- code every field is constant.
--
-- Speed: the compiler sees an int compared with the int field `m` (n clipped to 2^31 - 1), which costs
-- about 3 % of a loop; comparing with the double n would cost 30 %. Larger indices go the slow way.
local ffi = require "ffi"
local util = require "lsio.util"

local floor, type, tonumber = math.floor, type, tonumber

local M = { types = {}, by_name = {}, ro = {}, rw = {} }

for id, row in ipairs {
  { "i8", "int8_t" }, { "u8", "uint8_t" }, { "i16", "int16_t" }, { "u16", "uint16_t" },
  { "i32", "int32_t" }, { "u32", "uint32_t" }, { "i64", "int64_t" }, { "u64", "uint64_t" },
  { "f32", "float" }, { "f64", "double" },
} do
  local t = { id = id - 1, name = row[1], c = row[2], size = ffi.sizeof(row[2]) }
  M.types[t.id], M.by_name[t.name] = t, t
end

M.mutable = ffi.typeof "struct { const void *ptr; double n; int32_t m; }"

local names = { "n", "ptr", "type" }

local function bad_index(v, i)
  if type(i) == "string" then error(util.unknown("field of a view", i, names), 0) end
  if type(i) ~= "number" then error("an index must be a number, not " .. util.show(i), 0) end
  if i ~= floor(i) then error(("index %s is not a whole number"):format(tostring(i)), 0) end
  if v.n == 0 then
    error(("index %.0f is out of range: there are no elements (chunk.out has some if the job has a sink)")
      :format(i), 0)
  end
  error(("index %.0f is out of range: valid are 0 to %.0f"):format(i, v.n - 1), 0)
end

-- LuaJIT keeps what is no number in the payloads of negative NaNs and takes a loaded float as it is:
-- a NaN from a hostile file could pass for nil, or for a pointer. So such bits never become a value:
-- they are recognised as integers, and read as the one NaN that the processor makes.
local u32 = ffi.typeof "const uint32_t *"
local nan, cast = 0 / 0, ffi.cast
local loads = {
  f32 = function(p, i)
    if cast(u32, p)[i] > 0xffc00000 then return nan end
    return p[i]
  end,
  f64 = function(p, i)
    if cast(u32, p)[2 * i + 1] > 0xfff80000 then return nan end
    return p[i]
  end,
}
local function plain(p, i) return p[i] end

-- What is read through a pointer to const elements stays const, and string.format takes no const int64_t.
-- A sum is of the type itself; adding zero is no instruction once it is compiled.
local const_loads = {
  i64 = function(p, i) return p[i] + 0LL end,
  u64 = function(p, i) return p[i] + 0ULL end,
}

local function methods(t, writable)
  local id, name = t.id, t.name
  local load = loads[name] or not writable and const_loads[name] or plain
  local function other(v, i)
    if i == "dtype" then return id end
    if i == "type" then return name end
    if type(i) == "number" and i >= 0 and i < v.n and floor(i) == i then return load(v.ptr, i) end
    return bad_index(v, i)
  end
  local mt = {
    __index = function(v, i)
      if type(i) == "number" and i >= 0 and i < v.m and floor(i) == i then return load(v.ptr, i) end
      return (other(v, i)) -- no tail call: a trace takes 15 of them, and kernels ask for types often
    end,
    __len = function(v) return v.n end,
    __tostring = function(v) return ("view of %.0f %s"):format(v.n, name) end,
  }
  if writable then
    mt.__newindex = function(v, i, x)
      if type(i) == "number" and i >= 0 and i < v.m and floor(i) == i then
        v.ptr[i] = x
      elseif type(i) == "number" and i >= 0 and i < v.n and floor(i) == i then
        v.ptr[i] = x
      else
        bad_index(v, i)
      end
    end
  else
    mt.__newindex = function()
      error("chunk.data and arrays among the params are read-only; write to chunk.out or chunk.scratch", 0)
    end
  end
  return mt
end

for id = 0, 9 do
  local t = M.types[id]
  local c = ffi.typeof(t.c)
  M.ro[id] = ffi.metatype(
    ffi.typeof("struct { const $ *const ptr; const double n; const int32_t m; }", c),
    methods(t, false))
  M.rw[id] = ffi.metatype(ffi.typeof("struct { $ *const ptr; const double n; const int32_t m; }", c),
    methods(t, true))
end

local twin = ffi.typeof("$ *", M.mutable)

-- Points the mutable twin of a view at n elements.
function M.set(v, ptr, n)
  v.ptr = ptr
  v.n = n
  v.m = n < 2147483647 and n or 2147483647
end

-- A new view; the caller keeps the memory alive.
function M.make(id, ptr, n, writable)
  local c = (writable and M.rw or M.ro)[id]
  local v = c()
  M.set(ffi.cast(twin, v), ptr, n)
  return v
end

-- For what was lent and is no more: whoever kept the view finds no elements in it.
function M.empty(v) M.set(ffi.cast(twin, v), nil, 0) end

-- Is it a view, and may it be written? Unrolled, so that a trace folds it into one type guard.
local lines = { "local istype, ro, rw = ...\n" }
for id = 0, 9 do lines[#lines + 1] = ("local r%d, w%d = ro[%d], rw[%d]\n"):format(id, id, id, id) end
for _, kind in ipairs { "r", "w" } do
  lines[#lines + 1] = ("local function is_%s(x) return "):format(kind)
  local terms = {}
  for _, id in ipairs { 8, 9, 1, 2, 4, 3, 5, 6, 7, 0 } do
    terms[#terms + 1] = ("istype(%s%d, x)"):format(kind, id)
  end
  lines[#lines + 1] = table.concat(terms, " or ") .. " end\n"
end
lines[#lines + 1] = "return is_r, is_w"
M.is_ro, M.is_rw = assert(loadstring(table.concat(lines), "=lsio.view"))(ffi.istype, M.ro, M.rw)

-- Element types of FFI arrays by the names that LuaJIT prints.
local printed = {
  ["char"] = 0, ["signed char"] = 0, ["int8_t"] = 0, ["unsigned char"] = 1, ["uint8_t"] = 1,
  ["short"] = 2, ["int16_t"] = 2, ["unsigned short"] = 3, ["uint16_t"] = 3, ["int"] = 4,
  ["int32_t"] = 4, ["unsigned int"] = 5, ["uint32_t"] = 5, ["int64_t"] = 6, ["long"] = 6,
  ["uint64_t"] = 7, ["unsigned long"] = 7, ["float"] = 8, ["double"] = 9,
}

-- A view of an FFI array (slow, not compiled). nil and a reason for anything else.
function M.of_array(x)
  if type(x) ~= "cdata" then return nil, util.show(x) .. " is not a view or an FFI array" end
  local text = tostring(ffi.typeof(x)):match "^ctype<(.*)>$"
  local element, count = text:match "^(.-)%s*%(?&?%)?%s*%[(.-)%]$"
  if not element then return nil, "a " .. text .. " has no length: use a view or an FFI array" end
  local const = element:find "const"
  local id = printed[(element:gsub("const", ""):gsub("^%s+", ""):gsub("%s+$", ""))]
  if not id then return nil, "elements of " .. text .. " are of no type that LSIO knows" end
  local n = tonumber(count) or ffi.sizeof(x) / M.types[id].size
  return M.make(id, ffi.cast("const void *", x), n, not const)
end

-- "f32be", "<f4" to a row of M.types and whether it is big-endian; nil when it is none.
local kinds = { i1 = "i8", u1 = "u8", i2 = "i16", u2 = "u16", i4 = "i32", u4 = "u32", i8 = "i64",
  u8 = "u64", f4 = "f32", f8 = "f64" }
function M.parse_type(text)
  local order, kind = text:match "^([<>|=])(%l%d)$"
  if order then
    local t = M.by_name[kinds[kind]]
    if not t or (order == "|" and t.size > 1) then return nil end
    return t, order == ">" and t.size > 1
  end
  local base = text:match "^(%l%d+)be$"
  local t = M.by_name[base or text]
  if t then return t, base ~= nil and t.size > 1 end
end

return M
