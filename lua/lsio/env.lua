-- The environment of a job: fresh for each, so that two jobs in one state can't see each other. Globals
-- can't be written; reading one that does not exist is an error. `require` finds LSIO's modules,
-- LuaJIT's own, and text files by package.path, which starts beside the script.
local core = require "lsio.core"
local util = require "lsio.util"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local original_require = require
local builtin = { ffi = true, bit = true, jit = true, ["jit.opt"] = true, ["jit.util"] = true,
  ["string.buffer"] = true, ["table.new"] = true, ["table.clear"] = true }
local libraries = { string = true, table = true, math = true, io = true, os = true, debug = true,
  coroutine = true, bit = true, jit = true }

local function copy(t)
  local out = {}
  for key, value in pairs(t) do out[key] = value end
  return out
end

local function search(name, path)
  local tried = {}
  for template in path:gmatch "[^;]+" do
    local file = template:gsub("%?", (name:gsub("%.", "/"):gsub("%%", "%%%%")))
    local handle = io.open(file, "rb")
    if handle then
      local text = handle:read "*a"
      handle:close()
      return text, file
    end
    tried[#tried + 1] = "\n  no file '" .. file .. "'"
  end
  return nil, table.concat(tried)
end

local function make_require(env, loaded)
  return function(name)
    if type(name) ~= "string" then error("require wants a name, not " .. util.show(name), 0) end
    if loaded[name] ~= nil then return loaded[name] end
    if libraries[name] then return env[name] end
    if builtin[name] or name == "lsio" or name:sub(1, 5) == "lsio." then
      loaded[name] = original_require(name)
      return loaded[name]
    end
    local text, where = search(name, env.package.path)
    if not text then
      local ok, module = pcall(original_require, name) -- C modules, and modules of LuaJIT (jit.v, ...)
      if not ok then error(("module '%s' not found:%s"):format(name, where), 0) end
      loaded[name] = module
      return module
    end
    local chunk, message = M.compile(text, where)
    if not chunk then error(message, 0) end
    loaded[name] = true
    local result = setfenv(chunk, env)(name)
    if result ~= nil then loaded[name] = result end
    return loaded[name]
  end
end

-- What has been compiled, by its text; dumped, so that each job gets functions of its own, which
-- share neither machine code nor what the compiler has learnt of another job's. Only what we have
-- dumped ourselves is loaded.
local kept, clock, n_kept, bytes_kept = {}, 0, 0, 0
local MOST, MOST_BYTES = 64, 4194304

local function forget(text)
  n_kept, bytes_kept = n_kept - 1, bytes_kept - #text - #kept[text].code
  kept[text] = nil
end

local function keep(text, name, code)
  if kept[text] then forget(text) end
  if #text + #code > MOST_BYTES / 4 then return end
  kept[text] = { name = name, code = code, used = clock }
  n_kept, bytes_kept = n_kept + 1, bytes_kept + #text + #code
  while n_kept > MOST or bytes_kept > MOST_BYTES do
    local oldest
    for key, item in pairs(kept) do
      if not oldest or item.used < kept[oldest].used then oldest = key end
    end
    forget(oldest)
  end
end

-- Source text to a function; text only, never bytecode. A first line "#!..." is a comment.
function M.compile(text, name)
  clock = clock + 1
  local item = kept[text]
  if item and item.name == name then
    item.used = clock
    return loadstring(item.code)
  end
  local source = text
  if source:byte(1) == 27 then
    return nil, name .. ": this is bytecode; LSIO takes source text only"
  end
  if source:sub(1, 3) == "\239\187\191" then source = source:sub(4) end
  if source:byte(1) == 35 then source = "--" .. source end
  local f, message = loadstring(source, "@" .. name)
  if not f and core.vt then core.vt.refused(core.lua, name) end
  local ok, code = pcall(string.dump, f) -- not for want of memory, and not what does not compile
  if ok then keep(text, name, code) end
  return f, message
end

-- How many texts are kept, their bytes, and whether `text` is among them.
function M.kept(text) return n_kept, bytes_kept, kept[text] ~= nil end

local function with_env(env, f) -- loadstring and friends would see the real globals
  return function(...)
    local chunk, message = f(...)
    if type(chunk) == "function" then setfenv(chunk, env) end
    return chunk, message
  end
end

-- What is a job's own, made when it asks for it.
local own = {
  package = function(job)
    local out = copy(package)
    local directory = job.script:match "^(.*)/[^/]*$" or "."
    if directory == "" then directory = "/" end
    local more = os.getenv "LUA_PATH"
    out.path = ("%s/?.lua;%s/?/init.lua"):format(directory, directory)
      .. (more and more ~= "" and ";" .. more or "")
    out.loaded = job.loaded
    return out
  end,
  loadstring = function(job) return with_env(job.env, loadstring) end,
  loadfile = function(job) return with_env(job.env, loadfile) end,
  load = function(job)
    return function(chunk, name, mode, e)
      local f, message = load(chunk, name, mode or "t")
      if f then setfenv(f, e or job.env) end
      return f, message
    end
  end,
  -- modules are compiled with the job's environment, not with the table that holds the values
  require = function(job) return make_require(job.env, job.loaded) end,
}
for name in pairs(libraries) do
  own[name] = function() return copy(_G[name]) end
end

local function not_written(_, name)
  error(('a job can\'t write the global "%s"; declare it with local'):format(tostring(name)), 0)
end

-- `print` replaces the global one; `script` is the path that package.path starts from.
function M.create(script, print)
  local job = { script = script, loaded = {} }
  local values = setmetatable({ print = print }, { __index = function(t, name)
    local v = own[name]
    if v then v = v(job) else v = _G[name] end
    if v == nil then
      local near = util.nearest(tostring(name), util.keys(_G))
      error(('undefined global "%s"%s'):format(tostring(name),
        near and ('; did you mean "%s"?'):format(near) or "; declare it with local"), 0)
    end
    rawset(t, name, v)
    return v
  end })
  job.env = setmetatable({}, { __index = values, __newindex = not_written, __metatable = false })
  values._G = job.env
  return job.env
end

return M
