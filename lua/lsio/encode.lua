-- Lua values as JSON text on one line: records of a transform, the reduced state for --json.
local ffi = require "ffi"
local core = require "lsio.core"

local M = {}

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
  ["\b"] = "\\b", ["\f"] = "\\f" }

local function escape(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end

-- Strings are bytes and JSON is UTF-8: what is none becomes \xNN, as in the lines of --errors.
local function clean(s)
  local n = core.vt.utf8_clean(s, #s, nil)
  if n == #s then return s end
  local out = ffi.new("char[?]", n)
  core.vt.utf8_clean(s, #s, out)
  return ffi.string(out, n)
end

-- Also whether bytes were no UTF-8.
local function quote(s)
  if not s:find '[%z\1-\31\\"\127-\255]' then return '"' .. s .. '"', false end
  local text = s:find "[\128-\255]" and clean(s) or s
  return '"' .. text:gsub('[%z\1-\31\\"\127]', escape) .. '"', text ~= s
end

local function finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

-- Shortest of the two usual forms that reads back as the same number.
local function number(v)
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
  local s = ("%.15g"):format(v)
  if tonumber(s) ~= v then s = ("%.17g"):format(v) end
  return s
end

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

-- Where in the value the writer is: " at a.b[2]", "" for all of it.
local function place(out, depth)
  local text = {}
  for i = 1, depth do
    local key = out.path[i]
    if type(key) == "number" then
      text[i] = ("[%s]"):format(tostring(key))
    else
      text[i] = (i > 1 and "." or "") .. tostring(key)
    end
  end
  return depth > 0 and " at " .. table.concat(text) or ""
end

local function fail(out, depth, text, ...)
  error(text:format(...) .. place(out, depth), 0)
end

-- Number of elements if the table is a list 1..n, else nil. What a metatable adds is not in it.
local function list_length(t)
  if rawget(t, 1) == nil then return nil end
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  for i = 1, n do
    if rawget(t, i) == nil then return nil end
  end
  return n
end

local put

local function put_list(out, t, n, depth)
  out[#out + 1] = "["
  for i = 1, n do
    if i > 1 then out[#out + 1] = "," end
    out.path[depth + 1] = i
    put(out, t[i], depth + 1)
  end
  out[#out + 1] = "]"
end

local function before(a, b) -- numbers, then strings
  if type(a) == type(b) then return a < b end
  return type(a) == "number"
end

local function name_of(key)
  if type(key) == "string" then return quote(key) end
  return quote(finite(key) and number(key) or tostring(key))
end

local function check_names(out, keys, depth)
  local seen = {}
  for _, key in ipairs(keys) do
    local name = name_of(key)
    local other = seen[name]
    if other ~= nil then
      fail(out, depth, "%s has two keys, %s and %s, that are one in JSON", out.what,
        type(other) == "number" and ("the number %s"):format(tostring(other)) or ("%q"):format(other),
        ("the string %q"):format(key))
    end
    seen[name] = key
  end
end

local function put_object(out, t, depth)
  local keys, n, numbers, changed = {}, 0, 0, false
  for key in pairs(t) do
    if type(key) == "number" then
      numbers = numbers + 1
    elseif type(key) ~= "string" then
      fail(out, depth, "%s has a key of type %s", out.what, type(key))
    end
    n = n + 1
    keys[n] = key
  end
  table.sort(keys, before)
  out[#out + 1] = "{"
  for i = 1, n do
    local name, is_changed = name_of(keys[i])
    changed = changed or is_changed
    out[#out + 1] = (i > 1 and "," or "") .. name .. ":"
    out.path[depth + 1] = keys[i]
    put(out, t[keys[i]], depth + 1)
  end
  out[#out + 1] = "}"
  if changed or (numbers > 0 and numbers < n) then check_names(out, keys, depth) end
end

local function put_table(out, t, depth)
  if depth > 64 then
    error(out.what .. " nests deeper than 64 tables (or contains itself)", 0)
  end
  local n = list_length(t)
  if n then return put_list(out, t, n, depth) end
  return put_object(out, t, depth)
end

local function put_cdata(out, v, depth)
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
      put(out, array[i], depth)
    end
    out[#out + 1] = "]"
    return true
  end
end

function put(out, v, depth)
  local t = type(v)
  if t == "string" then
    out[#out + 1] = (quote(v))
  elseif t == "number" then
    if finite(v) then
      out[#out + 1] = number(v)
    else
      out[#out + 1] = "null"
      out.nonfinite = out.nonfinite + 1
    end
  elseif t == "boolean" then
    out[#out + 1] = tostring(v)
  elseif t == "nil" then
    out[#out + 1] = "null"
  elseif t == "table" then
    put_table(out, v, depth)
  elseif not (t == "cdata" and put_cdata(out, v, depth)) then
    fail(out, depth, "a %s can't be part of %s", t, out.what)
  end
end

-- The text, and how many numbers in it are null because JSON has no NaN and no infinities. Errors (without
-- position) when a value has no JSON form; `what` is what they call it.
function M.json(v, what)
  local out = { path = {}, nonfinite = 0, what = what or "a record" }
  put(out, v, 0)
  return table.concat(out), out.nonfinite
end

return M
