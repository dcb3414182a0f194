-- The environment of a job: fresh for each, so that two jobs in one state can't see each other. Globals
-- can't be written; reading one that does not exist is an error. `require` finds LSIO's modules,
-- LuaJIT's own, and text files by package.path, which starts beside the script.
local util = require "lsio.util"

local M = {}

local original_require = require
local builtin = { ffi = true, bit = true, jit = true, ["jit.opt"] = true, ["jit.util"] = true,
  ["string.buffer"] = true, ["table.new"] = true, ["table.clear"] = true }
local libraries = { "string", "table", "math", "io", "os", "debug", "coroutine", "bit", "jit" }

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

local function make_require(env, package, loaded)
  return function(name)
    if type(name) ~= "string" then error("require wants a name, not " .. util.show(name), 0) end
    if loaded[name] ~= nil then return loaded[name] end
    for _, library in ipairs(libraries) do
      if library == name then return env[name] end
    end
    if builtin[name] or name == "lsio" or name:sub(1, 5) == "lsio." then
      loaded[name] = original_require(name)
      return loaded[name]
    end
    local text, where = search(name, package.path)
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

-- Source text to a function; text only, never bytecode. A first line "#!..." is a comment.
function M.compile(text, name)
  if text:byte(1) == 27 then
    return nil, name .. ": this is bytecode; LSIO takes source text only"
  end
  if text:sub(1, 3) == "\239\187\191" then text = text:sub(4) end
  if text:byte(1) == 35 then text = "--" .. text end
  return loadstring(text, "@" .. name)
end

-- `print` replaces the global one; `script` is the path that package.path starts from.
function M.create(script, print)
  local base = copy(_G)
  for _, name in ipairs(libraries) do base[name] = copy(_G[name]) end
  base.package = copy(package)
  local directory = script:match "^(.*)/[^/]*$" or "."
  if directory == "" then directory = "/" end
  local more = os.getenv "LUA_PATH"
  base.package.path = ("%s/?.lua;%s/?/init.lua"):format(directory, directory)
    .. (more and more ~= "" and ";" .. more or "")
  base.package.loaded = {}
  base.print = print
  local env = setmetatable({}, {
    __index = setmetatable(base, { __index = function(_, name)
      local near = util.nearest(tostring(name), util.keys(base))
      error(('undefined global "%s"%s'):format(tostring(name),
        near and ('; did you mean "%s"?'):format(near) or "; declare it with local"), 0)
    end }),
    __newindex = function(_, name)
      error(('a job can\'t write the global "%s"; declare it with local'):format(tostring(name)), 0)
    end,
    __metatable = false,
  })
  base._G = env
  local function with_env(f) -- loadstring and friends would see the real globals
    return function(...)
      local chunk, message = f(...)
      if type(chunk) == "function" then setfenv(chunk, env) end
      return chunk, message
    end
  end
  base.loadstring, base.loadfile = with_env(loadstring), with_env(loadfile)
  base.load = function(chunk, name, mode, e)
    local f, message = load(chunk, name, mode or "t")
    if f then setfenv(f, e or env) end
    return f, message
  end
  -- modules are compiled with the job's environment, not with the copy that holds the values
  base.require = make_require(env, base.package, base.package.loaded)
  return env
end

return M
