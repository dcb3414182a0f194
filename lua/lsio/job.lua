-- lsio.job: checks the table of a job. Every mistake names the valid choice nearest to what was
-- written and, where the key stands once in the source, its line.
local core = require "lsio.core"
local util = require "lsio.util"
local view = require "lsio.view"
local state = require "lsio.state"
local reduce = require "lsio.reduce"
local params = require "lsio.params"
local source = require "lsio.source"
local sink = require "lsio.sink"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local JOB = { __name = "job" }

function M.is(v) return type(v) == "table" and getmetatable(v) == JOB end

M.keys = {
  source = true, type = true, codec = true, dictionary = true, decoded = true, params = true, setup = true,
  init = true,
  transform = true, finish = true, state = true, reduce = true, done = true, sink = true,
  out_max = true, piece = true, on_error = true, fill = true, merge = true, options = true, seed = true,
}

local nobody = { text = "", name = "job" }
local current = nobody -- the script whose top level runs: { text =, name =, made = }

-- Around a script's top level. One that failed ends when its job is closed.
function M.begin(script) current = script end
function M.finish() current = nobody end

-- The line on which `key =` stands, if that is one line of the script only, else 0.
function M.line(script, key)
  local at, n, found = 0, 0, nil
  for line in (script.text .. "\n"):gmatch "([^\n]*)\n" do
    at = at + 1
    local code = line:gsub("%-%-.*", "")
    local word = "%f[%w_]" .. key .. "%f[^%w_]%s*="
    if code:find(word .. "[^=]") or code:find(word .. "$") then n, found = n + 1, at end
  end
  return n == 1 and found or 0
end

-- "job.lua:12: ", or "" where the line is not known.
local function place(script, key)
  local line = M.line(script, key)
  return line > 0 and ("%s:%d: "):format(script.name, line) or ""
end

local function fail(text, key)
  local where = type(key) == "string" and key:match "^[%a_][%w_]*$" and place(current, key) or ""
  error(where .. text, 0)
end

local function want(t, key, kinds)
  local v = t[key]
  if v == nil then return nil end
  for kind in kinds:gmatch "%a+" do
    if type(v) == kind then return v end
  end
  fail(("%s must be a %s, not %s"):format(key, kinds:gsub(" ", " or a "), util.show(v)), key)
end

local function check_codec(t, job)
  job.codec = want(t, "codec", "string") or "none"
  if core.codec_is_sized[job.codec] == nil then
    fail(util.unknown("codec", job.codec, core.codecs), "codec")
  end
  if core.codec_is_sized[job.codec] and t.decoded == nil then
    fail(("codec %s needs decoded: the decoded size of a chunk, or a cap for it"):format(job.codec), "codec")
  end
  job.dictionary = want(t, "dictionary", "string")
  if job.dictionary and not core.codec_takes_dictionary[job.codec] then
    fail(('dictionary is for codec = "zstd" or "auto", not "%s"'):format(job.codec), "dictionary")
  end
end

local function check_data(t, job)
  local name = want(t, "type", "string") or "u8"
  local row, big = view.parse_type(name)
  if not row then fail(util.unknown("type", name, util.keys(view.by_name)), "type") end
  job.type, job.big = row, big
  check_codec(t, job)
  if t.decoded ~= nil then
    local ok, n = pcall(source.size, t.decoded, "decoded", 1)
    if not ok then fail(n, "decoded") end
    job.decoded = n
  end
  if job.codec == "none" and job.decoded then
    fail("decoded is the size after a codec, but there is no codec", "decoded")
  end
end

-- A job without a transform may get one of the program's, which is known when it is opened.
local function needs_transform(t, job, key, text)
  if t.transform or t[key] == nil then return end
  job.untransformed = job.untransformed or { key = key, text = text }
end

local function check_piece(t, job)
  if t.piece == nil then return end
  local ok, n = pcall(source.size, t.piece, "piece", 1)
  if not ok then fail(n, "piece") end
  if n % job.type.size ~= 0 then
    fail(("piece is %.0f bytes, no multiple of the %d bytes of a %s element"):format(n, job.type.size,
      job.type.name), "piece")
  end
  needs_transform(t, job, "piece", "piece is for transforms, but there is no transform")
  job.piece = n
end

local function check_ends(t, job)
  local s = t.source
  if s ~= nil and type(s) ~= "function" and not source.is(s) then
    fail(("source must be lsio.files(...), lsio.list(...), lsio.ranges{...}, lsio.stdin{...} or a function, "
      .. "not %s"):format(util.show(s)), "source")
  end
  job.source = s
  local out = t.sink
  if out ~= nil and type(out) ~= "function" and not sink.is(out) then
    fail(("sink must be %s or a function, not %s"):format(sink.valid, util.show(out)), "sink")
  end
  job.sink = out
  if t.out_max ~= nil and not util.whole(t.out_max, 0, 2 ^ 53) then
    fail(("out_max must be a whole number of elements, not %s"):format(util.show(t.out_max)), "out_max")
  end
  job.out_max = t.out_max
  job.fill = want(t, "fill", "number")
  needs_transform(t, job, "out_max", "out_max limits what a transform writes, but there is no transform")
end

local function check_reducer(name, what)
  if type(name) ~= "string" then
    fail(("reduce: %s is %s; valid: a name (%s)"):format(what, util.show(name),
      table.concat(reduce.names, ", ")), "reduce")
  end
  if not reduce.is_name[name] then
    fail("reduce: " .. util.unknown("reducer", name, reduce.names), "reduce")
  end
end

local function field_reducer(f, name)
  if name == "none" then return end
  if f.moments and name ~= "moments" then
    fail(('reduce: %s is an lsio_moments; its reducer is "moments", not "%s"'):format(f.name, name),
      "reduce")
  end
  if not f.moments and (name == "moments" or name == "concat") then
    fail(('reduce: "%s" does not fit the field %s of type %s'):format(name, f.name, f.t.name), "reduce")
  end
  if (name == "band" or name == "bor") and f.t and f.t.name:sub(1, 1) == "f" then
    fail(('reduce: "%s" wants integers, but the field %s is %s'):format(name, f.name, f.t.name), "reduce")
  end
end

local function check_reduce(t, job)
  local r = want(t, "reduce", "table function string")
  if type(r) == "string" then check_reducer(r, "it") end
  if type(r) == "table" then
    for key, name in pairs(r) do check_reducer(name, tostring(key)) end
  end
  local fields = job.fields
  if (fields or job.state_function) and not job.finish and r == nil and job.done then
    fail("reduce is missing: it names a reducer for each field of state, as in { sum = \"sum\" }")
  end
  if fields and not job.finish then
    local by_name, names = {}, {}
    for i, f in ipairs(fields) do by_name[f.name], names[i] = f, f.name end
    if type(r) == "table" then
      for key in pairs(r) do
        if not by_name[key] then fail("reduce: " .. util.unknown("state field", key, names), "reduce") end
      end
      for _, f in ipairs(fields) do
        if r[f.name] == nil then
          fail(('reduce: the field "%s" of state has no reducer; "none" keeps it private'):format(f.name),
            "reduce")
        end
        field_reducer(f, r[f.name])
      end
    end
  end
  if fields and type(r) == "string" then
    for _, f in ipairs(fields) do field_reducer(f, r) end
  end
  if not fields and not job.state_function and not job.finish and r ~= nil then
    fail("reduce merges what workers end with, but there is neither state nor finish", "reduce")
  end
  job.reduce = r
end

-- The reducer that decides what a struct field starts at.
function M.reducer_of(job)
  return function(name)
    if type(job.reduce) == "string" then return job.reduce end
    if type(job.reduce) == "table" then return job.reduce[name] end
  end
end

local function check_state(t, job)
  local s = want(t, "state", "string function")
  if type(s) == "string" then
    job.fields = state.parse(s, function(text) fail(text, "state") end)
    local all
    job.state_size, all = state.measure(job.fields)
    if all > 2147483647 then
      fail(("state takes %.0f bytes; it may take at most 2147483647"):format(all), "state")
    end
  else
    job.state_function = s
  end
  for _, key in ipairs { "setup", "init", "transform", "finish", "done" } do
    job[key] = want(t, key, "function")
  end
  for _, key in ipairs { "init", "finish", "state", "reduce" } do
    needs_transform(t, job, key, key .. " has no use without a transform")
  end
  check_reduce(t, job)
end

local function check_options(t, job)
  local on_error = want(t, "on_error", "string")
  if on_error and on_error ~= "fail" and on_error ~= "skip" then
    fail(('on_error is "%s"; valid: "fail", "skip"'):format(on_error), "on_error")
  end
  job.settings = {}
  local function set(name, v, key)
    if type(v) == "number" then
      v = v == math.floor(v) and ("%.0f"):format(v) or tostring(v)
    elseif type(v) == "boolean" then
      v = v and "true" or "false"
    elseif type(v) ~= "string" then
      fail(("%s must be a string or a number, not %s"):format(name, util.show(v)), key)
    end
    job.settings[#job.settings + 1] = { name = name, value = v, key = key }
  end
  local options = want(t, "options", "table")
  for name, v in pairs(options or {}) do
    if type(name) ~= "string" then
      fail(("options: %s is not the name of an option"):format(util.show(name)), "options")
    end
    set(name, v, name)
  end
  if on_error then set("on_error", on_error, "on_error") end
  if t.merge ~= nil then set("merge", t.merge, "merge") end
  if t.seed ~= nil then
    if not util.whole(t.seed, 0, 2 ^ 53) then
      fail(("seed must be a whole number from 0, not %s"):format(util.show(t.seed)), "seed")
    end
    set("seed", t.seed, "seed")
  end
end

-- The public constructor.
function M.job(t)
  if type(t) ~= "table" then error("lsio.job wants a table, not " .. util.show(t), 0) end
  util.only_keys(t, M.keys, "key of lsio.job", fail)
  local job = setmetatable({}, JOB)
  check_data(t, job)
  check_piece(t, job)
  check_ends(t, job)
  job.params = params.declare(want(t, "params", "table") or {}, fail)
  check_state(t, job)
  check_options(t, job)
  current.made = true
  return job
end

-- Is what the job reads said by the script, or (`given`) by the program?
function M.check_source(script, given)
  local s = script.job.source
  if given and s then
    error(place(script, "source")
      .. "the script has a source, and the program gives the job a request; leave one of them out", 0)
  end
  if not given and not s then
    error("source is missing: lsio.files(...), lsio.list(...) or lsio.ranges{...}", 0)
  end
end

-- Is the transform the script's, or the program's (`given`, with a state of its own if `has_state`)?
function M.check_transform(script, given, has_state)
  local job = script.job
  local function bad(text, key) error(place(script, key) .. text, 0) end
  local missing = job.untransformed
  if not given then
    if missing then bad(missing.text, missing.key) end
    return
  end
  if job.transform then
    bad("the script has a transform, and the program gives the job another one; leave one of them out",
      "transform")
  end
  for _, key in ipairs { "init", "finish" } do
    if job[key] then
      bad(("%s runs in workers, where a job with a transform of the program's has no Lua; give that "
        .. "transform its own: %s"):format(key, key == "init" and "open_worker" or key), key)
    end
  end
  if job.state_function then
    bad("state is a function, but where the transform is the program's there is no Lua to call it; write it "
      .. "as text, as in \"double sum, n;\"", "state")
  end
  if has_state and job.fields then
    bad("the script has a state, and the program's transform brings its own; leave one of them out", "state")
  end
end

-- What only shows once all options are known.
function M.check_skip(script, skip)
  if not skip then return end
  local job = script.job
  local function bad(text, key) error(place(script, key) .. text, 0) end
  if job.fields and job.state_size > 4096 then
    bad(("state takes %d bytes; with on_error = \"skip\" it is restored after a failed step and may take "
      .. "at most 4096"):format(job.state_size), "state")
  end
  -- Of what is cut as it comes results have no fixed places; what a function returns is not known here.
  local placed = type(job.source) == "table" and job.source.kind ~= "stdin"
  if placed and job.sink and not job.out_max and job.fill == nil then
    bad("on_error = \"skip\" with a sink needs fill: the value that stands in place of a skipped step",
      "on_error")
  end
end

-- What the script returned, or why that is no job.
function M.returned(script, v)
  if M.is(v) then return v end
  if v == nil and script.made then
    error(script.name .. ': the script made a job but did not return it; write "return lsio.job { ... }"', 0)
  end
  error(('%s: a script ends with "return lsio.job { ... }"; this one returned %s'):format(script.name,
    v == nil and "nothing" or util.show(v)), 0)
end

return M
