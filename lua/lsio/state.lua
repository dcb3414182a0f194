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

-- Bytes of the struct: those of the user's part, and of all with the views of its arrays. No C type
-- is made for it: that is left to states in which the job's functions run.
function M.measure(fields)
  local at, align, views = 0, 1, 0
  for _, f in ipairs(fields) do
    local size = f.moments and ffi.sizeof "lsio_moments" or f.t.size
    local own = math.min(size, 8) -- a double is the widest member
    align = math.max(align, own)
    at = math.ceil(at / own) * own + size * (f.n or 1)
    if f.n then views = views + 1 end
  end
  local size = math.ceil(at / align) * align
  if views == 0 then return size, size end
  return size, math.ceil(at / 8) * 8 + views * ffi.sizeof(view.mutable)
end

-- By layout: C types are never freed, so equal jobs must share them. Of different layouts a state of
-- Lua makes as many as it has types for, and is then replaced.
local cache = {}

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

-- C types of the struct: { struct =, mutable = a pointer to its twin without constant fields, size =
-- bytes of the user's part, total = of all }.
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
  for _, f in ipairs(fields) do
    if f.n then
      local decl = ("$ __view_%s;"):format(f.name)
      constant[#constant + 1], mutable[#mutable + 1] = decl, decl
      params[#params + 1] = view.rw[f.t.id]
      params_mutable[#params_mutable + 1] = view.mutable
    end
  end
  local struct = ffi.typeof("struct { " .. table.concat(constant, " ") .. " }", unpack(params))
  local twin = struct
  if #params > 0 then
    twin = ffi.typeof("struct { " .. table.concat(mutable, " ") .. " }", unpack(params_mutable))
  end
  local layout = { struct = ffi.metatype(struct, metatable_of(fields)), mutable = ffi.typeof("$ *", twin) }
  layout.size, layout.total = M.measure(fields)
  assert(layout.total == ffi.sizeof(struct))
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

-- A new state.
function M.construct(fields, layout, reducer_of)
  local s = layout.struct()
  local m = ffi.cast(layout.mutable, s)[0]
  for _, f in ipairs(fields) do
    local start = f.t and M.identity(f.t, reducer_of(f.name))
    if f.n then
      local storage = m["__" .. f.name]
      view.set(m["__view_" .. f.name], storage, f.n)
      if start ~= 0 then
        for i = 0, f.n - 1 do storage[i] = start end
      end
    elseif f.t and start ~= 0 then
      m[f.name] = start
    end
  end
  return s
end

local words = ffi.typeof "uint32_t *"

-- Makes the one NaN of what LuaJIT could take for something else than a number: see lsio.view.
local function clean(at, is_double)
  if is_double and at[1] > 0xfff80000 then at[0], at[1] = 0, 0xfff80000 end
  if not is_double and at[0] > 0xffc00000 then at[0] = 0xffc00000 end
end

-- Fills `s`, made by construct(), with the bytes of a struct that C functions wrote; returns it.
function M.take(fields, layout, s, bytes)
  ffi.copy(s, bytes, layout.size)
  for _, f in ipairs(fields) do
    local kind = f.moments and "f64" or not f.n and f.t.name -- arrays are read through their views
    if kind == "f64" or kind == "f32" then
      local at = ffi.cast(words, s) + ffi.offsetof(layout.struct, f.name) / 4
      for i = 0, f.moments and 2 or 0 do clean(at + 2 * i, kind == "f64") end
    end
  end
  return s
end

for _, f in pairs(M) do jit.off(f) end -- as in lsio.job; what a job's functions call is none of these

return M
