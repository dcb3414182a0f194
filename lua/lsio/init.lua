-- The public module: require "lsio".
local core = require "lsio.core"
local codec = require "lsio.codec"
local host = require "lsio.host"
local job = require "lsio.job"
local kernels = require "lsio.k"
local sink = require "lsio.sink"
local source = require "lsio.source"
local util = require "lsio.util"

-- Reads of unknown names are errors that name the nearest; nothing can be written. Of a table that finds what
-- it holds when it is asked for, its metatable tells the names.
local function closed(t, what)
  local own = getmetatable(t) or {}
  local find, names = own.__index, own.names or util.keys(t)
  return setmetatable({}, {
    __index = setmetatable(t, {
      __index = function(_, name)
        local found = find and find(t, name)
        if found ~= nil then return found end
        error(util.unknown(what, name, names), 0)
      end,
    }),
    __newindex = function(_, name)
      error(("%s can't be changed (writing %s)"):format(what:match "^(%S+)", util.show(name)), 0)
    end,
    __metatable = false,
  })
end

return closed({
  job = job.job,
  files = source.files,
  list = source.list,
  ranges = source.ranges,
  stdin = source.stdin,
  npy = sink.npy,
  raw = sink.raw,
  memory = sink.memory,
  k = closed(kernels, "lsio.k function"),
  codec = closed(codec, "lsio.codec function"),
  log = host.log,
  -- "256KiB" to bytes
  size = function(text)
    if type(text) == "number" then return text end
    local n = type(text) == "string" and core.vt.size(text) or -1
    if n < 0 then error(('lsio.size: %s is not a size such as "256KiB"'):format(util.show(text)), 0) end
    return n
  end,
  version = "0.1.0",
}, "lsio function")
