-- Sinks: inert descriptions of where results go.
local util = require "lsio.util"
local view = require "lsio.view"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local SINK = { __name = "sink" }

function M.is(v) return type(v) == "table" and getmetatable(v) == SINK end

local function fail(fmt, ...) error(fmt:format(...), 0) end

local keys = {
  npy = { type = true, shape = true, order = true, exists = true, durability = true },
  raw = { type = true, order = true, exists = true, durability = true },
  memory = { type = true, shape = true },
}
local choices = {
  order = { "completed", "request" }, exists = { "error", "replace" },
  durability = { "none", "batch", "each" },
}

local function shape(v, who)
  if type(v) ~= "table" then
    fail("%s: shape must be a list such as { -1, 256 }, not %s", who, util.show(v))
  end
  for key in pairs(v) do
    if not util.whole(key, 1, #v) then
      fail("%s: shape is a list such as { -1, 256 }, from 1 on and without gaps: %s has no place in it", who,
        type(key) == "string" and key or "[" .. tostring(key) .. "]")
    end
  end
  if #v == 0 then
    fail("%s: shape is empty; write all sizes, such as { -1, 256 } (-1: as much as there is)", who)
  end
  if #v > 32 then fail("%s: shape has %d dimensions, 32 are possible", who, #v) end
  local open = 0
  for i = 1, #v do
    if not util.whole(v[i], -1, 2 ^ 53) then
      fail("%s: shape[%d] is %s, not a whole number", who, i, util.show(v[i]))
    end
    if v[i] == -1 then open = open + 1 end
  end
  if open > 1 then fail("%s: shape may hold one -1", who) end
  return v
end

-- `path` is nil for a sink that has none.
local function make(kind, path, options)
  local who = "lsio." .. kind
  if options ~= nil and type(options) ~= "table" then
    fail("%s: options must be a table, not %s", who, util.show(options))
  end
  options = options or {}
  util.only_keys(options, keys[kind], "option of " .. who, function(text) fail("%s", text) end)
  local s = { kind = kind, path = path }
  for name, valid in pairs(choices) do
    local v = options[name]
    if v ~= nil then
      local ok = false
      for _, choice in ipairs(valid) do ok = ok or v == choice end
      if name == "order" and v == "any" then fail('%s: order "any" is called "completed" now', who) end
      if not ok then
        fail('%s: %s is %s; valid: "%s"', who, name, util.show(v), table.concat(valid, '", "'))
      end
      s[name] = v
    end
  end
  if options.type ~= nil then
    if type(options.type) ~= "string" then
      fail("%s: type is %s, not a name", who, util.show(options.type))
    end
    local t, big = view.parse_type(options.type)
    if not t then fail("%s: %s", who, util.unknown("type", options.type, util.keys(view.by_name))) end
    if big then fail("%s: type %s: output is written in native byte order only", who, options.type) end
    s.type = t
  end
  if options.shape ~= nil then s.shape = shape(options.shape, who) end
  return setmetatable(s, SINK)
end

local function in_file(kind, path, options)
  if type(path) == "table" then
    fail('lsio.%s wants a path, and its options behind it: ("out.%s", { exists = "replace" })', kind, kind)
  end
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
    fail("lsio.%s wants a path, not %s", kind, util.show(path))
  end
  return make(kind, path, options)
end

function M.npy(path, options) return in_file("npy", path, options) end
function M.raw(path, options) return in_file("raw", path, options) end
function M.memory(options) return make("memory", nil, options) end

-- For messages.
M.valid = "lsio.npy(...), lsio.raw(...), lsio.memory(...)"

return M
