-- `state` as C struct text: parsed here, never by ffi.cdef, so that names and types of two jobs can't
-- meet and messages speak of the user's fields. Scalars lie in the struct as they are; an array is
-- storage plus a checked view of it that goes by the field's name; lsio_moments is a nested struct.
local ffi = require "ffi"
local view = require "lsio.view"
local util = require "lsio.util"

local M = {}

local c_names = {
  double = "f64", float = "f32", int8_t = "i8", uint8_t = "u8", int16_t = "i16", uint16_t = "u16",
  int32_t = "i32", uint32_t = "u32", int64_t = "i64", uint64_t = "u64", int = "i32",
  unsigned = "u32", ["unsigned int"] = "u32",
}
local type_names = { "lsio_moments" }
for name in pairs(c_names) do type_names[#type_names + 1] = name end
for id = 0, 9 do
  c_names[view.types[id].name] = view.types[id].name
  type_names[#type_names + 1] = view.types[id].name
end
table.sort(type_names)

local max_elements = 2 ^ 28

-- One declarator, "name" or "name[16]".
local function declarator(text, type_name, seen, fail)
  local name, count = text:match "^([%a_][%w_]*)%s*%[%s*(%w+)%s*%]$"
  name = name or text:match "^([%a_][%w_]*)$"
  if not name then
    fail(('state: "%s" is neither a name nor name[count]; fields are scalars and fixed arrays'):format(text))
  end
  if seen[name] then fail(('state: the field "%s" is declared twice'):format(name)) end
  if name:sub(1, 2) == "__" then fail(('state: the name "%s" is reserved'):format(name)) end
  seen[name] = true
  local n
  if count then
    n = tonumber(count)
    if not util.whole(n, 1, max_elements) then
      fail(("state: the length of %s must be a whole number from 1, not %s"):format(name, count))
    end
    if type_name == "lsio_moments" then fail "state: an array of lsio_moments is not supported" end
  end
  return { name = name, n = n, moments = type_name == "lsio_moments",
    t = view.by_name[c_names[type_name]] }
end

-- "double sum, hist[16]; lsio_moments m;" to a list of { name, n (arrays), t (row of view.types) or
-- moments }.
function M.parse(text, fail)
  local fields, seen = {}, {}
  text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", " ")
  for statement in text:gmatch "[^;]+" do
    statement = statement:match "^%s*(.-)%s*$":gsub("%s+", " ")
    if statement ~= "" then
      local type_name, rest = statement:match "^(unsigned int) (.+)$"
      if not type_name then type_name, rest = statement:match "^([%a_][%w_]*) (.+)$" end
      if not type_name then
        fail(('state: "%s" is not a declaration; write "double sum, n;"'):format(statement))
      end
      if not c_names[type_name] and type_name ~= "lsio_moments" then
        fail("state: " .. util.unknown("type", type_name, type_names))
      end
      for word in (rest .. ","):gmatch "%s*(.-)%s*," do
        fields[#fields + 1] = declarator(word, type_name, seen, fail)
      end
    end
  end
  if #fields == 0 then fail "state: no fields; write \"double sum, n;\"" end
  return fields
end

local cache = {} -- by layout: C types are never freed, so equal jobs must share them

local function metatable_of(fields)
  local names = {}
  for i, f in ipairs(fields) do names[i] = f.name end
  local arrays = {} -- how to get the view of each; code, so that traces see a constant field name
  for _, f in ipairs(fields) do
    if f.n then
      arrays[f.name] = assert(loadstring(("return function(s) return s.__view_%s end"):format(f.name),
        "=lsio.state"))()
    end
  end
  return {
    __index = function(s, key)
      local get = arrays[key]
      if get then return get(s) end
      error(util.unknown("state field", key, names), 0)
    end,
    __newindex = function(_, key)
      if arrays[key] then
        error(("state.%s is an array: assign to its elements"):format(key), 0)
      end
      error(util.unknown("state field", key, names), 0)
    end,
  }
end

-- C types of the struct: { struct =, mutable =, size = bytes of the user's part, total = of all }.
function M.layout(fields)
  local constant, mutable, key, params, params_mutable = {}, {}, {}, {}, {}
  for i, f in ipairs(fields) do
    local c = f.moments and "lsio_moments" or f.t.c
    key[i] = ("%s %s %s"):format(c, f.name, f.n or "")
    constant[i] = f.n and ("%s __%s[%d];"):format(c, f.name, f.n) or ("%s %s;"):format(c, f.name)
    mutable[i] = constant[i]
  end
  key = table.concat(key, ";")
  if cache[key] then return cache[key] end
  local size = ffi.sizeof(ffi.typeof("struct { " .. table.concat(constant, " ") .. " }"))
  for _, f in ipairs(fields) do
    if f.n then
      local decl = ("$ __view_%s;"):format(f.name)
      constant[#constant + 1], mutable[#mutable + 1] = decl, decl
      params[#params + 1] = view.rw[f.t.id]
      params_mutable[#params_mutable + 1] = view.mutable
    end
  end
  local layout = {
    struct = ffi.typeof("struct { " .. table.concat(constant, " ") .. " }", unpack(params)),
    mutable = ffi.typeof("struct { " .. table.concat(mutable, " ") .. " }", unpack(params_mutable)),
    size = size,
  }
  layout.total = ffi.sizeof(layout.struct)
  layout.pointer = ffi.typeof("$ *", layout.struct)
  layout.mutable_pointer = ffi.typeof("$ *", layout.mutable)
  ffi.metatype(layout.struct, metatable_of(fields))
  cache[key] = layout
  return layout
end

local limits = {
  i8 = { -128, 127 }, u8 = { 0, 255 }, i16 = { -32768, 32767 }, u16 = { 0, 65535 },
  i32 = { -2147483648, 2147483647 }, u32 = { 0, 4294967295 },
  i64 = { -9223372036854775807LL - 1LL, 9223372036854775807LL },
  u64 = { 0ULL, 18446744073709551615ULL }, f32 = { -math.huge, math.huge },
  f64 = { -math.huge, math.huge },
}

-- What a field starts at, so that a worker that saw nothing changes nothing.
function M.identity(t, reducer)
  if reducer == "prod" then return 1 end
  if reducer == "min" then return limits[t.name][2] end
  if reducer == "max" then return limits[t.name][1] end
  if reducer == "band" then
    if t.name == "u64" then return limits.u64[2] end
    return (t.name:sub(1, 1) == "u") and limits[t.name][2] or -1
  end
  return 0
end

-- Makes the memory at `slot` (layout.total zeroed bytes) a state; returns it.
function M.construct(fields, layout, slot, reducer_of)
  local m = ffi.cast(layout.mutable_pointer, slot)[0]
  for _, f in ipairs(fields) do
    local start = f.t and M.identity(f.t, reducer_of(f.name))
    if f.n then
      local storage = m["__" .. f.name]
      view.set(m["__view_" .. f.name], storage, f.n)
      for i = 0, f.n - 1 do storage[i] = start end
    elseif f.t then
      m[f.name] = start
    end
  end
  return ffi.cast(layout.pointer, slot)[0]
end

return M
