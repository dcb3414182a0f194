-- Lua values as JSON text on one line: records of a transform, the reduced state for --json.
local ffi = require "ffi"

local M = {}

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
  ["\b"] = "\\b", ["\f"] = "\\f" }

local function escape(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end

local function quote(s) return '"' .. s:gsub('[%z\1-\31\\"\127]', escape) .. '"' end

-- Shortest of the two usual forms that reads back as the same number. JSON has no inf and no nan.
local function number(v)
  if v ~= v or v == math.huge or v == -math.huge then return "null" end
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
  local s = ("%.15g"):format(v)
  if tonumber(s) ~= v then s = ("%.17g"):format(v) end
  return s
end

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

-- Number of elements if the table is a list 1..n, else nil.
local function list_length(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  for i = 1, n do
    if t[i] == nil then return nil end
  end
  return n
end

local put

local function put_table(out, t, depth, lenient)
  if depth > 64 then error("a record nests deeper than 64 tables (or contains itself)", 0) end
  local n = list_length(t)
  if n and (n > 0 or depth > 0) and next(t) ~= nil then
    out[#out + 1] = "["
    for i = 1, n do
      if i > 1 then out[#out + 1] = "," end
      put(out, t[i], depth + 1, lenient)
    end
    out[#out + 1] = "]"
    return
  end
  local keys = {}
  for key in pairs(t) do
    if type(key) ~= "string" and type(key) ~= "number" then
      error(("a record has a key of type %s"):format(type(key)), 0)
    end
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  out[#out + 1] = "{"
  for i, key in ipairs(keys) do
    if i > 1 then out[#out + 1] = "," end
    out[#out + 1] = quote(type(key) == "number" and number(key) or key) .. ":"
    put(out, t[key], depth + 1, lenient)
  end
  out[#out + 1] = "}"
end

local function put_cdata(out, v, depth, lenient)
  if ffi.istype(int64, v) or ffi.istype(uint64, v) then
    out[#out + 1] = tostring(v):match "^-?%d+"
    return true
  end
  local view = require "lsio.view"
  local array = (view.is_ro(v) or view.is_rw(v)) and v or view.of_array(v)
  if array then
    out[#out + 1] = "["
    for i = 0, array.n - 1 do
      if i > 0 then out[#out + 1] = "," end
      put(out, array[i], depth + 1, lenient)
    end
    out[#out + 1] = "]"
    return true
  end
end

function put(out, v, depth, lenient)
  local t = type(v)
  if t == "string" then
    out[#out + 1] = quote(v)
  elseif t == "number" then
    out[#out + 1] = number(v)
  elseif t == "boolean" then
    out[#out + 1] = tostring(v)
  elseif t == "nil" then
    out[#out + 1] = "null"
  elseif t == "table" then
    put_table(out, v, depth, lenient)
  elseif t == "cdata" and put_cdata(out, v, depth, lenient) then
    return
  elseif lenient then
    out[#out + 1] = "null"
  else
    error(("a %s can't be part of a record"):format(t), 0)
  end
end

-- Errors (without position) when a value has no JSON form; with `lenient` it becomes null instead.
function M.json(v, lenient)
  local out = {}
  put(out, v, 0, lenient)
  return table.concat(out)
end

return M
