-- What a transform sees: the chunk, a C struct whose fields are constant for user code. C fills it
-- before each step (lua/host/xform_lua.c) and calls the transform with it. Nothing is allocated. Kept
-- out of the struct: what would need a Lua object (name, tag, type, random), which __index makes on
-- demand, and the writable views, since LuaJIT lets nobody write through a constant field.
local ffi = require "ffi"
local core = require "lsio.core"
local view = require "lsio.view"
local util = require "lsio.util"
local encode = require "lsio.encode"

local M = {}

local names = { "data", "out", "scratch", "name", "tag", "type", "random", "n", "bytes", "index",
  "object", "object_size", "offset", "length", "pos", "worker", "first", "last" }

-- chunk.random(): [0, 1); random(m): 1..m; random(a, b): a..b. Numbers depend on the seed, the step and how
-- many were taken, which the generator of the job that runs holds.
local generator = core.generator

local function random(a, b)
  local r = core.vt.random(generator[0])
  if a == nil then return r end
  if b == nil then a, b = 1, a end
  if not (util.whole(a, -2 ^ 53, 2 ^ 53) and util.whole(b, a, 2 ^ 53)) then
    error("chunk.random(low, high) wants whole numbers with low <= high", 0)
  end
  return a + math.floor(r * (b - a + 1))
end

local lazy = {
  out = function(c) return c._out end,
  scratch = function(c) -- memory that counts once it is asked for: it is empty before
    if c._scratch.m ~= c.data.m then core.check(core.vt.scratch(core.lua, core.err)) end
    return c._scratch
  end,
  name = function(c) return ffi.string(c._name, c._name_length) end,
  tag = function(c)
    local tag = c._tag
    if tag >= -9007199254740992LL and tag <= 9007199254740992LL then return tonumber(tag) end
    return tag + 0LL -- not const: string.format takes no const int64_t
  end,
  type = function(c) return c.data.type end,
  random = function() return random end,
  first = function(c) return c._piece % 2 == 0 end, -- no LSI_PIECE_LATER
  last = function(c) return c._piece < 2 end,       -- no LSI_PIECE_MORE
}

local metatable = {
  __index = function(c, key)
    local get = lazy[key]
    if get then return (get(c)) end -- no tail call, as in a view
    error(util.unknown("field of chunk", key, names), 0)
  end,
  __newindex = function(_, key)
    for _, name in ipairs(names) do
      if name == key then error(("chunk.%s can't be assigned"):format(key), 0) end
    end
    error(util.unknown("field of chunk", key, names), 0)
  end,
}

local pointer = ffi.typeof "struct lsi_lua_chunk *"
local made = {} -- by type of data and of out: C types are never freed, and one step runs at a time

-- The chunk of jobs with these types, and its address for C.
function M.object(data, out)
  local key = data * 16 + out
  if not made[key] then
    local c = ffi.metatype(ffi.typeof([[struct { const $ data; $ _out; $ _scratch;
      const void *const _data; const double n, bytes, object, object_size, offset, length;
      const int64_t _tag; const char *const _name; const size_t _name_length;
      const double index, pos, worker; const int32_t _piece; }]],
      view.ro[data], view.rw[out], view.rw[data]), metatable)
    assert(ffi.sizeof(c) == ffi.sizeof "struct lsi_lua_chunk")
    made[key] = c()
  end
  return made[key], ffi.cast(pointer, made[key])
end

local can_dump, bind = pcall(string.dump, function(transform, chunk, state, params)
  return function() return transform(chunk, state, params) end
end)
if not can_dump then error("not enough memory", 0) end -- what LuaJIT means by "unable to dump"

-- A function that gives C one without arguments for a step: with a prototype of its own, for machine
-- code belongs to that, and what it has seen of one script would be in another's way.
function M.binder()
  local f = assert(loadstring(bind))
  jit.off(f) -- it runs once; what it returns is compiled
  return f
end

-- The text of a table that a transform returned.
function M.record(r, transform)
  local ok, text = pcall(encode.json, r)
  if not ok then
    local info = debug.getinfo(transform, "S")
    error(("%s:%d: the transform returned a table: %s"):format(info.short_src, info.linedefined,
      tostring(text)), 0)
  end
  return text
end

return M
