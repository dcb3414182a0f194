-- What a transform sees, and the function that C calls for every step.
--
-- C rewrites one lsi_step; dispatch() copies it into the chunk object, a C struct whose fields are
-- constant for user code, and calls the transform. Nothing is allocated. Kept out of the struct: what
-- would need a Lua object (name, tag, type, random), which __index makes on demand, and the writable
-- views, since LuaJIT lets nobody write through a constant field.
local ffi = require "ffi"
local view = require "lsio.view"
local util = require "lsio.util"
local encode = require "lsio.encode"

local M = {}

local numbers = "n, bytes, index, object, object_size, offset, length, pos, worker"
local names = { "data", "out", "scratch", "name", "tag", "type", "random", "n", "bytes", "index",
  "object", "object_size", "offset", "length", "pos", "worker", "first", "last" }

local random -- set by M.use: the worker's generator

local lazy = {
  out = function(c) return c._out end,
  scratch = function(c) return c._scratch end,
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

local mutable = ffi.typeof("struct { $ data, _out, _scratch; double " .. numbers
  .. "; const char *_name; size_t _name_length; int64_t _tag; int32_t _piece; }", view.mutable)
local mutable_pointer = ffi.typeof("$ *", mutable)

local cache = {} -- by type of data and of out: C types are never freed

local function chunk_type(data, out)
  local key = data * 16 + out
  if not cache[key] then
    cache[key] = ffi.metatype(ffi.typeof(
      "struct { const $ data; $ _out; $ _scratch; const double " .. numbers
      .. "; const char *const _name; const size_t _name_length; const int64_t _tag; const int32_t _piece; }",
      view.ro[data], view.rw[out], view.rw[data]), metatable)
  end
  return cache[key]
end

-- chunk.random(): [0, 1); random(m): 1..m; random(a, b): a..b. `next` gives numbers in [0, 1) that
-- depend on the seed, the step and how many were taken.
function M.use(next_number)
  random = function(a, b)
    local r = next_number()
    if a == nil then return r end
    if b == nil then a, b = 1, a end
    if not (util.whole(a, -2 ^ 53, 2 ^ 53) and util.whole(b, a, 2 ^ 53)) then
      error("chunk.random(low, high) wants whole numbers with low <= high", 0)
    end
    return a + math.floor(r * (b - a + 1))
  end
end

local record -- anchors the text of the last record until the next step

-- Everything that is not the common "nothing returned".
local function deliver(step, r, where, has_out_max)
  if r == false then
    step.result = ffi.C.LSI_RESULT_NONE
  elseif type(r) == "number" then
    if not has_out_max then
      error(where .. "the transform returned a number, but the job has no out_max", 0)
    end
    if not util.whole(r, 0, step.out_n) then
      error(("%sthe transform returned %s; how many elements it wrote is a whole number from 0 to %.0f")
        :format(where, tostring(r), step.out_n), 0)
    end
    step.result = ffi.C.LSI_RESULT_COUNT
    step.result_n = r
  elseif type(r) == "string" or type(r) == "table" then
    if type(r) == "table" then
      local ok, text = pcall(encode.json, r)
      if not ok then error(where .. "the transform returned a table: " .. tostring(text), 0) end
      r = text
    end
    record = r
    step.result = ffi.C.LSI_RESULT_RECORD
    step.record = r
    step.record_length = #r
  else
    error(("%sthe transform returned a %s; valid: nothing, a number, a table, a string or false")
      :format(where, type(r)), 0)
  end
end

-- Returns the function for a step, and one that makes the chunk and its views empty.
-- job: { data, out = rows of view.types; transform, state, params; has_out_max }.
function M.dispatcher(step, job)
  local chunk = chunk_type(job.data.id, job.out.id)()
  local m = ffi.cast(mutable_pointer, chunk)[0]
  local transform, state, params = job.transform, job.state, job.params
  local size, has_out_max = job.data.size, job.has_out_max
  local info = debug.getinfo(transform, "S")
  local where = ("%s:%d: "):format(info.short_src, info.linedefined)
  local none, full = ffi.C.LSI_RESULT_NONE, ffi.C.LSI_RESULT_FULL
  m.worker = step.worker
  return function()
    local c = step.chunk[0]
    local n = c.n
    view.set(m.data, c.data, n)
    view.set(m._out, step.out, step.out_n)
    local room = step.scratch_bytes / size
    view.set(m._scratch, step.scratch, room < n and room - room % 1 or n)
    m.n, m.bytes, m.index, m.object, m.object_size = n, c.bytes, step.index, c.object, c.object_size
    m.offset, m.length, m.pos = c.offset, c.length, step.pos
    m._name, m._name_length, m._tag, m._piece = c.name, c.name_length, c.tag, step.piece
    step.result = none -- should anything below fail
    local r = transform(chunk, state, params)
    if r == nil then step.result = full else deliver(step, r, where, has_out_max) end
    -- views die with the call: one that was kept fails its bounds check
    m.data.m, m._out.m, m._scratch.m = 0, 0, 0
    m.data.n, m._out.n, m._scratch.n = 0, 0, 0
  end, function() ffi.fill(m, ffi.sizeof(mutable)) end -- the same after a step that failed
end

M.anchored = function() return record end

return M
