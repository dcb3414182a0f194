-- Merging what workers end with, in the coordinator. Values are plain: numbers, int64/uint64 cdata,
-- strings, booleans, tables, and arrays as tables that are marked.
local ffi = require "ffi"
local bit = require "bit"
local buffer = require "string.buffer"
local view = require "lsio.view"
local core = require "lsio.core"
local util = require "lsio.util"
local value = require "lsio.value"

local M = {}

M.names = { "sum", "prod", "min", "max", "band", "bor", "concat", "moments", "none" }
M.is_name = {}
for _, name in ipairs(M.names) do M.is_name[name] = true end

-- Marks, which no table of a script or of a program can have by chance, and which cross with a table.
local ARRAY = {} -- { __array = type, n =, [0] = ... }: a copy of the elements
local LENT = {}  -- { type's number, address, n }: memory that all states see
local marks = { metatable = { ARRAY, LENT } }

-- A buffer for what M.plain has made, and for reading it.
function M.buffer() return buffer.new(marks) end

-- The same for parameters, which every job has, in buffers that are kept unless they have become large.
local writer, reader = M.buffer(), M.buffer()
function M.encode(v)
  local text = writer:reset():encode(v):get()
  if #text > 65536 then writer = M.buffer() end
  return text
end
function M.decode(data, n)
  local v = reader:reset():set(data, n):decode()
  reader:reset() -- the data is not ours
  return v
end

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

local function is_integer64(v)
  return type(v) == "cdata" and (ffi.istype(int64, v) or ffi.istype(uint64, v))
end

-- Int64 values that a double holds exactly become Lua numbers.
function M.number(v)
  if type(v) ~= "cdata" then return v end
  if ffi.istype(uint64, v) then
    return v <= 9007199254740992ULL and tonumber(v) or v
  end
  return v <= 9007199254740992LL and v >= -9007199254740992LL and tonumber(v) or v
end

local function integer(v) -- whole numbers that can't be exact as doubles are merged as int64
  if is_integer64(v) then return v end
  return ffi.cast(int64, v)
end

local function add(a, b)
  if is_integer64(a) or is_integer64(b) then return M.number(integer(a) + integer(b)) end
  return a + b
end
local function multiply(a, b)
  if is_integer64(a) or is_integer64(b) then return M.number(integer(a) * integer(b)) end
  return a * b
end
local function less(a, b)
  if is_integer64(a) or is_integer64(b) then return integer(a) < integer(b) end
  return a < b
end
-- NaN wins, as in the kernels and in numpy.
local function least(a, b)
  if a ~= a then return a end
  if b ~= b then return b end
  return less(b, a) and b or a
end
local function greatest(a, b)
  if a ~= a then return a end
  if b ~= b then return b end
  return less(a, b) and b or a
end
-- Bits of whole numbers of any size; results below 2^32 come out unsigned.
local function bits(op)
  return function(a, b) return M.number(op(integer(a), integer(b))) end
end

local operators = { sum = add, prod = multiply, min = least, max = greatest, band = bits(bit.band),
  bor = bits(bit.bor) }

local function merge_moments(a, b)
  local n = a.n + b.n
  if b.n == 0 then return a end
  if a.n == 0 then return b end
  local d = b.mean - a.mean
  return { n = n, mean = a.mean + d * (b.n / n), m2 = a.m2 + b.m2 + d * d * (a.n * (b.n / n)) }
end

local function concat(a, b, path)
  if type(a) == "string" and type(b) == "string" then return a .. b end
  if type(a) == "table" and type(b) == "table" then
    for i = 1, #b do a[#a + 1] = b[i] end
    return a
  end
  error(("reduce: concat of %s merges lists or strings, not %s and %s"):format(path, util.show(a),
    util.show(b)), 0)
end

local merge

local function merge_array(name, a, b, path)
  if a.n ~= b.n then error(("reduce: %s has %d and %d elements"):format(path, a.n, b.n), 0) end
  local op = operators[name]
  for i = 0, a.n - 1 do a[i] = op(a[i], b[i]) end
  return a
end

-- Merges b into a by a reducer's name; tables key by key.
function merge(name, a, b, path)
  if a == nil then return b end
  if b == nil then return a end
  if name == "concat" then return concat(a, b, path) end
  if type(a) == "table" and type(b) == "table" then
    if name == "moments" then return merge_moments(a, b) end
    if getmetatable(a) == ARRAY and getmetatable(b) == ARRAY then return merge_array(name, a, b, path) end
    for key, v in pairs(b) do
      a[key] = merge(name, a[key], v, path .. "." .. tostring(key))
    end
    return a
  end
  local number_a = type(a) == "number" or is_integer64(a)
  local number_b = type(b) == "number" or is_integer64(b)
  if not (number_a and number_b) or not operators[name] then
    error(("reduce: %s of %s can't merge %s and %s"):format(name, path, util.show(a), util.show(b)), 0)
  end
  return operators[name](a, b)
end

-- Merges a list of finished values (in worker order) by `reduce`: a name, a table of names or a function,
-- which sees arrays as views; `keep` anchors their memory.
function M.all(reduce, values, keep)
  if reduce == "none" then return nil end
  if type(reduce) == "function" then
    local result = M.present(values[1], keep)
    for i = 2, #values do result = reduce(result, M.present(values[i], keep)) end
    return result
  end
  local result = values[1]
  if type(reduce) == "string" then
    for i = 2, #values do result = merge(reduce, result, values[i], "the result") end
    return result
  end
  if type(result) ~= "table" then
    error(("reduce names fields, but the finished value is %s, not a table"):format(util.show(result)), 0)
  end
  local out = {}
  for key, name in pairs(reduce) do
    if name ~= "none" then
      local v
      for i = 1, #values do
        if type(values[i]) ~= "table" then
          error(("reduce names fields, but a finished value is %s, not a table"):format(
            util.show(values[i])), 0)
        end
        v = merge(name, v, values[i][key], tostring(key))
      end
      out[key] = v
    end
  end
  return out
end

-- A 0-based array of plain numbers as it crosses from a worker and is merged.
local function array_of(v)
  local a = { __array = v.type, n = v.n }
  for i = 0, v.n - 1 do a[i] = M.number(v[i]) end
  return setmetatable(a, ARRAY)
end

-- Fields of a state struct as a plain table.
function M.of_struct(fields, state)
  local out = {}
  for _, f in ipairs(fields) do
    local v = state[f.name]
    if f.n then
      out[f.name] = array_of(v)
    elseif f.moments then
      out[f.name] = { n = v.n, mean = v.mean, m2 = v.m2 }
    else
      out[f.name] = M.number(v)
    end
  end
  return out
end

-- What fields are declared as, for those whose values are what the reducers make of them.
function M.declared(j)
  local out = {}
  if not j.fields or j.finish or type(j.reduce) == "function" then return out end
  for _, f in ipairs(j.fields) do
    local t = f.t and f.t.name or "f64"
    out[f.name] = t == "u64" and 3 or t:sub(1, 1) == "f" and 4 or 2
  end
  return out
end

local simple = { ["nil"] = true, boolean = true, number = true, string = true }

-- A copy of `v` that can cross between states: views and FFI arrays become arrays, but for the views that
-- are keys of `lent`, whose memory stays where it is. Anything else that is not plain is an error that names
-- where it is.
function M.plain(v, what, lent, depth)
  depth = depth or 0
  local t = type(v)
  if simple[t] then return v end
  if t == "cdata" then
    if is_integer64(v) then return v end
    if ffi.istype("lsio_moments", v) then return { n = v.n, mean = v.mean, m2 = v.m2 } end
    if lent and lent[v] then
      return setmetatable({ v.dtype, tonumber(ffi.cast("uintptr_t", v.ptr)), v.n }, LENT)
    end
    local a = (view.is_ro(v) or view.is_rw(v)) and v or view.of_array(v)
    if a then return array_of(a) end
  elseif t == "table" then
    if depth > 64 then error(what .. " nests deeper than 64 tables (or contains itself)", 0) end
    local out = {}
    for key, x in pairs(v) do
      if type(key) ~= "string" and type(key) ~= "number" then
        error(("%s has a key of type %s; keys must be strings or numbers"):format(what, type(key)), 0)
      end
      if not simple[type(x)] then x = M.plain(x, ("%s.%s"):format(what, tostring(key)), lent, depth + 1) end
      out[key] = x
    end
    return out
  end
  error(("%s is a %s; only numbers, strings, booleans, tables and arrays of numbers can cross between "
    .. "workers"):format(what, t), 0)
end

-- Of C's, if the job has a place for that, so that the program may have it when the job is gone.
local function memory(t, n, keep)
  if keep.arrays then
    local block = core.vt.array(keep.arrays, t.id, n)
    if block == nil then core.fail(core.NOMEM, ("no memory for %.0f elements of the state"):format(n)) end
    return ffi.cast(ffi.typeof("$ *", ffi.typeof(t.c)), core.vt.array_data(block)), block
  end
  local data = ffi.new(t.c .. "[?]", math.max(n, 1))
  keep[#keep + 1] = data
  return data
end

-- Arrays in a merged value become 0-based views; `keep` anchors their memory. Of lent memory `lent` gets
-- the views as keys. What a reduce function has returned may hold anything: views already, objects, itself.
function M.present(v, keep, lent, seen)
  if type(v) ~= "table" then return is_integer64(v) and M.number(v) or v end
  local mark = getmetatable(v)
  if mark == LENT then return value.array(v[1], v[2], v[3], lent) end
  if mark == ARRAY then
    local exact, unsigned = false, v.__array == "u64"
    for i = 0, v.n - 1 do exact = exact or type(v[i]) == "cdata" end
    local t = view.by_name[exact and (unsigned and "u64" or "i64") or "f64"]
    local data, block = memory(t, v.n, keep)
    for i = 0, v.n - 1 do data[i] = v[i] end
    local a = view.make(t.id, data, v.n, true)
    if block then keep.blocks[a] = block end
    return a
  end
  seen = seen or {}
  if seen[v] then return v end
  seen[v] = true
  for key, x in pairs(v) do v[key] = M.present(x, keep, lent, seen) end
  return v
end

return M
