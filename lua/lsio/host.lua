-- What C calls, one function a phase. Each takes the address of a struct of lua/host/abi.h; results go
-- back through it.
local ffi = require "ffi"
local core = require "lsio.core"
local chunk = require "lsio.chunk"
local encode = require "lsio.encode"
local env = require "lsio.env"
local job = require "lsio.job"
local params = require "lsio.params"
local reduce = require "lsio.reduce"
local sink = require "lsio.sink"
local source = require "lsio.source"
local state = require "lsio.state"
local util = require "lsio.util"
local value = require "lsio.value"
local view = require "lsio.view"

local M = { value = value }

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local scripts = {} -- by number: those that stay loaded
local entries = {} -- by number: the jobs that are open here, each with all that is its own

local call_type = ffi.typeof "struct lsi_lua_call *"

-- C copies the text before it makes another call; `entry` holds it until then.
local function give(call, entry, text)
  entry.text = text
  call.text, call.text_length = text, #text
end

-- print: a line (or several) in one piece.
local function writer(level)
  return function(...)
    local n = select("#", ...)
    local words = { ... }
    for i = 1, n do words[i] = tostring(words[i]) end
    local line = table.concat(words, "\t", 1, n) .. "\n"
    if core.vt.say(core.lua, level, line, #line) ~= 0 then
      error(level == core.PRINT and "can't write to standard output" or "can't write to standard error", 0)
    end
  end
end

M.print, M.log = writer(core.PRINT), writer(core.INFO)
jit.on(M.print) -- transforms call it
jit.on(M.log)

-- Kilobytes that a job may leave to the collector's own pace. One that made more, as large arrays of
-- a request or a large state, pays for a collection itself, so that they do not live on.
local LITTLE = 4096

local function collect_since(count)
  if collectgarbage "count" - count > math.max(LITTLE, count) then collectgarbage() end
end

-- Compiles the script of `call` and runs its top level in a fresh environment.
local function run(call)
  local script = { text = ffi.string(call.script, call.script_length), name = ffi.string(call.name),
    count = collectgarbage "count" }
  local f, message = env.compile(script.text, script.name)
  if not f then error(message, 0) end
  job.begin(script)
  script.job = job.returned(script, setfenv(f, env.create(script.name, M.print))())
  job.finish()
  return script
end

-- The script of a call's job: a loaded one runs once in a state, any other for its job only.
local function script_of(call)
  local loaded = call.loaded
  if loaded == 0 then return run(call) end
  local script = scripts[loaded]
  if not script then
    script = run(call)
    scripts[loaded] = script
  end
  return script
end

-- With room for all that comes later, so that the table is made once.
local function open_entry(call, lent, transformed, sourced)
  local count = collectgarbage "count"
  local script = script_of(call)
  local entry = { script = script, job = script.job, name = script.name, keep = {}, lent = lent,
    count = count, transformed = transformed, sourced = sourced, params = false, text = false }
  entries[call.job] = entry
  return entry
end

local function entry_of(address)
  local call = ffi.cast(call_type, address)
  return call, entries[call.job]
end

-- Loads a script that stays: its environment lives as long as its number is not forgotten.
function M.keep(address)
  script_of(ffi.cast(call_type, address))
end

function M.forget(address)
  local number = ffi.cast(call_type, address).loaded
  local script = scripts[number]
  scripts[number] = nil
  local count = script and script.count
  script = nil -- luacheck: ignore
  if count then collect_since(count) end
end

-- A fresh state for `entry`, if its job has one.
local function new_state(entry)
  local j = entry.job
  if j.fields then
    j.layout = j.layout or state.layout(j.fields)
    entry.state = state.construct(j.fields, j.layout, job.reducer_of(j))
  elseif j.state_function then
    entry.state = j.state_function(entry.params)
    if type(entry.state) ~= "table" then
      error(("%s: the function state returned %s, not a table"):format(entry.name, util.show(entry.state)), 0)
    end
  end
end

-- `given`: the parameters that a program gives as values; `lent`: the views among them.
function M.load(address, given, lent)
  local call = ffi.cast(call_type, address)
  local entry = open_entry(call, lent, call.transformed, call.sourced)
  local j = entry.job
  job.check_source(entry.script, entry.sourced)
  job.check_transform(entry.script, entry.transformed, entry.transformed and call.has_state)
  for _, s in ipairs(j.settings) do
    if core.vt.setting(call.settings, s.name, s.value, core.err) < 0 then
      core.vt.as_script_error(core.err, entry.name, job.line(entry.script, s.key))
      error(core.failed, 0)
    end
  end
  job.check_skip(entry.script, core.vt.setting_skip(call.settings))
  local args, given_args = {}, call.args
  for i = 0, tonumber(call.n_args) - 1 do args[i + 1] = ffi.string(given_args[i]) end
  local function fail(text) core.fail(core.USAGE, text) end
  entry.params = params.parse(j.params, args, fail, lent)
  source.are_params(entry.params)
  params.give(j.params, entry.params, given, fail)
  if j.state_size then call.state_size = j.state_size end
  if j.finish or j.reduce then call.finishes = true end
  if j.done then call.has_done = true end
  local reducers = type(j.reduce) == "function" and "function" or j.reduce
  give(call, entry, reducers and encode.json(reducers) or "")
  if entry.transformed and j.fields then
    new_state(entry)
    call.slot = entry.state
  end
end

function M.help(address)
  local call, entry = entry_of(address)
  give(call, entry, params.help(entry.name, entry.job.params))
end

local kinds, durabilities = { npy = 1, raw = 2, memory = 3 }, { none = 0, batch = 1, each = 2 }

local function prepare_sink(entry, spec)
  local s = entry.job.sink
  if type(s) == "function" then
    s = s(entry.params)
    if not sink.is(s) then
      error(("%s: the function sink returned %s; valid: %s"):format(entry.name, util.show(s), sink.valid), 0)
    end
  end
  entry.sink = s
  if not s then return end
  spec.sink_kind = kinds[s.kind]
  if s.path and not core.vt.sink_path(spec, s.path, #s.path) then
    core.fail(core.NOMEM, "no memory for the path of the sink")
  end
  if s.type then spec.sink_has_type, spec.sink_type = true, s.type.id end
  if s.shape then
    spec.ndim = #s.shape
    for i = 1, #s.shape do spec.shape[i - 1] = s.shape[i] end
  end
  if s.exists == "replace" then spec.replace = true end
  if s.order == "completed" then spec.as_completed = true end
  spec.durability = durabilities[s.durability or "batch"]
end

local function prepare_data(entry, spec)
  local j = entry.job
  spec.type = j.type.id -- what is not said here is zero
  if j.big then spec.big = true end
  if j.codec ~= "none" then spec.codec = core.vt.codec(j.codec) end
  if j.decoded then spec.decoded = j.decoded end
  if j.piece then spec.piece = j.piece end
  if j.transform == nil and not entry.transformed then spec.identity = true end
  if j.out_max then spec.has_out_max, spec.out_max = true, j.out_max end
  if j.fill then spec.has_fill, spec.fill = true, j.fill end
end

-- A chunk size that cuts elements apart would fail every step; say so before reading.
local function check_chunk(entry, s)
  local size = entry.job.type.size
  if s.chunk and s.chunk % size ~= 0 and entry.job.codec == "none" then
    error(("%s: a chunk of %.0f bytes is no multiple of the %d bytes of a %s element"):format(entry.name,
      s.chunk, size, entry.job.type.name), 0)
  end
end

-- What the script reads; nil: what the program has said.
local function source_of(entry)
  local s = entry.job.source
  if entry.sourced then return nil end
  if type(s) == "function" then
    s = s(entry.params)
    if not source.is(s) then
      error(("%s: the function source returned %s; valid: lsio.files(...), lsio.list(...), lsio.ranges{...}, "
        .. "lsio.stdin{...}")
        :format(entry.name, util.show(s)), 0)
    end
  end
  check_chunk(entry, s)
  return s
end

function M.prepare(address)
  local call, entry = entry_of(address)
  local j = entry.job
  if j.setup then
    local from = core.vt.now()
    local more = j.setup(entry.params)
    call.spec.setup_s = core.vt.now() - from
    if more ~= nil and type(more) ~= "table" then
      error(("%s: setup returned %s; valid: nothing or a table"):format(entry.name, util.show(more)), 0)
    end
    for key, v in pairs(more or {}) do entry.params[key] = v end
  end
  give(call, entry, reduce.encode(reduce.plain(entry.params, "params", entry.lent)))
  local s, dictionary = source_of(entry), j.dictionary
  if dictionary and not core.vt.source_dictionary(call.source, dictionary, #dictionary) then
    core.fail(core.NOMEM, "no memory for the path of the dictionary")
  end
  prepare_data(entry, call.spec)
  prepare_sink(entry, call.spec)
  if s then
    local may_be_late = j.codec == "none" and not j.big and not j.piece and not entry.sink
    source.describe(s, call.source, j.codec ~= "none", may_be_late)
  end
  s = nil -- luacheck: ignore (arrays as long as the request must not live on while it runs)
  collect_since(entry.count)
end

-- In a worker: the script, its state, init. Returns what C calls for a step, the transform, which
-- messages name, and the function that makes text of a table that it returned.
function M.open(address)
  local call = ffi.cast(call_type, address)
  local entry = open_entry(call, {}, false, false)
  local j = entry.job
  local given = reduce.decode(call.text, tonumber(call.text_length))
  entry.params = reduce.present(given, entry.keep, entry.lent)
  local worker = call.worker
  math.randomseed(tonumber(call.seed % 4294967296ULL) + worker)
  call.user_code = true
  new_state(entry)
  if j.fields then call.slot = entry.state end
  if j.init then j.init(entry.state, worker, entry.params) end
  local seen
  seen, call.chunk = chunk.object(j.type.id, call.has_out_type and call.out_type or j.type.id)
  local script = entry.script
  script.bind = script.bind or chunk.binder()
  return script.bind(j.transform, seen, entry.state, entry.params), j.transform, chunk.record
end

-- What a worker (or, for a job without steps, the coordinator) ends with, as plain data.
local function finished(entry)
  local j, v = entry.job, nil
  if j.finish then v = j.finish(entry.state, entry.params) end
  if v ~= nil and j.reduce == nil then
    error(entry.name .. ": finish returned a value, but the job has no reduce to merge it with", 0)
  end
  if v ~= nil and not (j.fields and rawequal(v, entry.state)) then
    return reduce.plain(v, "what finish returned")
  end
  if j.reduce == nil then return nil end
  if j.fields then return reduce.of_struct(j.fields, entry.state) end
  return reduce.plain(entry.state, "state")
end

function M.finish(address)
  local call, entry = entry_of(address)
  local v = finished(entry)
  local text = reduce.buffer():encode(v) -- not as a string: large results would be there twice
  entry.text = text
  local at, length = text:ref()
  call.text, call.text_length = ffi.cast("const char *", at), length
end

local function give_json(call, entry, result)
  local ok, text, nonfinite = pcall(encode.json, result, "the state")
  if text == "not enough memory" then error(text, 0) end
  call.no_json, call.nonfinite = not ok, ok and nonfinite or 0 -- done is called all the same
  give(call, entry, text)
end

-- Merges what the workers left, in their order; gives its JSON where that is wanted. Where a value is wanted
-- it returns the table that the JSON shows, and what else C needs to make one of it.
function M.merge(address)
  local call, entry = entry_of(address)
  local j, values = entry.job, {}
  entry.keep.arrays, entry.keep.blocks = call.arrays, {}
  for i = 0, tonumber(call.n_values) - 1 do
    local v = call.values[i]
    if call.transformed then
      values[i + 1] = reduce.of_struct(j.fields, state.take(j.fields, j.layout, entry.state, v.data))
    else
      values[i + 1] = reduce.buffer():set(v.data, tonumber(v.length)):decode()
    end
  end
  if #values == 0 and j.reduce ~= nil and (j.fields or j.state_function) then -- no step has run
    new_state(entry)
    values[1] = finished(entry)
  end
  local result
  if j.reduce ~= nil and #values > 0 then result = reduce.all(j.reduce, values, entry.keep) end
  result = reduce.present(result, entry.keep)
  entry.result = result
  if type(result) ~= "table" then result = { result = result } end
  if call.wants_text then give_json(call, entry, result) end
  if not call.wants_value then return end
  return result, reduce.declared(j), value.describe, entry.keep.blocks
end

function M.done(address, info)
  local _, entry = entry_of(address)
  entry.text = nil -- the JSON, which has been copied
  if entry.job.done then entry.job.done(entry.result, info) end
end

-- How many C types there are, at least. LuaJIT tells the number of a type, but to learn it takes one.
local function c_types() return tonumber(ffi.typeof "struct { int32_t _; }") end

local closed = 0

function M.close(address)
  local call, entry = entry_of(address)
  entries[call.job] = nil
  for v in pairs(entry and entry.lent or {}) do view.empty(v) end
  closed = closed + 1
  if closed % 32 == 0 then call.c_types = c_types() end
  if not entry then return job.finish() end -- its script has failed
  local count = entry.count
  entry = nil -- luacheck: ignore
  collect_since(count)
end

-- Machine code goes, and with it what the compiler has learnt; switching it off and on sets its counts back.
function M.clean()
  if not jit.status() then return end
  jit.flush()
  jit.off()
  jit.on()
end

-- Does the JIT have memory for machine code near the library? A loop must leave a trace. And how many C types
-- there are before any job has made some.
function M.probe()
  local opt = require "jit.opt"
  opt.start("sizemcode=256", "maxmcode=256", "maxtrace=4000")
  local n = c_types()
  if os.getenv "LSIO_JIT" == "off" then return "off", n end
  jit.on()
  local s = 0
  for i = 1, 1000 do s = s + i end
  if s ~= 500500 then return "broken", n end
  local ok, jutil = pcall(require, "jit.util")
  if ok and not jutil.traceinfo(1) then return "dead", n end
  jit.flush()
  return "alive", n
end
jit.on(M.probe)

function M.doctor(address)
  local call = ffi.cast(call_type, address)
  local status = ffi.string(call.name)
  local lines = { ("%s, %s %s, GC64 %s"):format(jit.version, jit.os, jit.arch,
    ffi.abi "gc64" and "yes" or "no") }
  local meaning = {
    alive = "JIT: alive", off = "JIT: off (LSIO_JIT=off)",
    dead = "JIT: DEAD: no executable memory near the library; transforms run about 40 times slower",
    broken = "JIT: BROKEN: a simple loop gives a wrong result",
  }
  lines[#lines + 1] = meaning[status]
  local tried, found = require "lsio.defects".find()
  lines[#lines + 1] = ("known defects of LuaJIT: %d tried, %d found"):format(tried, #found)
  for _, text in ipairs(found) do lines[#lines + 1] = "  " .. text end
  if jit.version:find "beta" then
    lines[#lines + 1] = "  not tried: it may crash when memory is short; builds after 2023 hardly ever do"
  end
  give(call, M, table.concat(lines, "\n") .. "\n")
end

return M
