-- `params` of a job: declaration, command line, help text. Values are typed by their default.
local reduce = require "lsio.reduce"
local util = require "lsio.util"
local view = require "lsio.view"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local kinds = { number = "N", string = "TEXT", boolean = false, table = false, array = false }
local by_program = { table = "a list or map", array = "an array" } -- what no command line can say

-- Checks the table of a job; returns { name = { default =, help =, kind = } }.
function M.declare(t, fail)
  local out = {}
  for name, value in pairs(t) do
    if type(name) ~= "string" or not name:match "^[%a_][%w_]*$" then
      fail(("params: %s is not a name; write name = default"):format(util.show(name)))
    end
    local default, help = value, nil
    if type(value) == "table" then
      default, help = value[1], value[2]
      for key in pairs(value) do
        if key ~= 1 and key ~= 2 then
          fail(("params.%s: %s has no place here; write { default, help }"):format(name, util.show(key)),
            name)
        end
      end
    end
    local is_view = view.is_ro(default) or view.is_rw(default)
    local array = is_view and default or view.of_array(default)
    local kind = array and "array" or type(default)
    if kinds[kind] == nil then
      fail(("params.%s: the default must be a number, a string, a boolean, { a table } or an array, not %s")
        :format(name, util.show(default)), name)
    end
    if help ~= nil and type(help) ~= "string" then
      fail(("params.%s: the help must be a string, not %s"):format(name, util.show(help)), name)
    end
    out[name] = { default = default, help = help, kind = kind, array = array or nil }
  end
  return out
end

local function wants(decl)
  if decl.kind == "array" then return "an array of " .. decl.array.type end
  return by_program[decl.kind]
end

local function convert(decl, flag, text, fail)
  if decl.kind == "string" then return text end
  if wants(decl) then
    fail(("%s is %s: a program can give it (params of lsio_job_options), a command line can't"):format(flag,
      wants(decl)))
  end
  if decl.kind == "number" then
    local v = tonumber(text)
    if v == nil then fail(("%s wants a number, not %s"):format(flag, util.show(text))) end
    return v
  end
  local v = ({ ["true"] = true, yes = true, on = true, ["1"] = true, ["false"] = false, no = false,
    off = false, ["0"] = false })[text:lower()]
  if v == nil then fail(("%s is a switch: true or false, not %s"):format(flag, util.show(text))) end
  return v
end

-- The declared name that a flag means, and whether it was --no-name.
local function lookup(decls, word, fail)
  if decls[word] then return word, false end
  local name = word:gsub("-", "_")
  if decls[name] then return name, false end
  local positive = name:match "^no_(.+)$"
  if positive and decls[positive] and decls[positive].kind == "boolean" then return positive, true end
  local flags = {}
  for _, key in ipairs(util.keys(decls)) do flags[#flags + 1] = "--" .. key:gsub("_", "-") end
  if #flags == 0 then
    fail(("unknown parameter --%s: the script declares none"):format(word))
  end
  fail(util.unknown("parameter", "--" .. word, flags))
end

-- What a job may change is its own; `lent` gets what it sees where it is.
local function default_of(decl, lent)
  if decl.kind == "table" then return reduce.plain(decl.default, "the default") end
  if decl.kind ~= "array" then return decl.default end
  local a = decl.array
  local v = view.make(a.dtype, a.ptr, a.n, false)
  lent[v] = true
  return v
end

-- Command line words to values: { name = value, [1] = word, ... }. `lent` as of reduce.plain.
function M.parse(decls, args, fail, lent)
  local out, words, i, flags = {}, 0, 1, true
  for name, decl in pairs(decls) do out[name] = default_of(decl, lent) end
  while i <= #args do
    local arg = args[i]
    if flags and arg == "--" then
      flags = false
    elseif flags and arg:sub(1, 2) == "--" then
      local word, value = arg:match "^%-%-([^=]+)=(.*)$"
      word = word or arg:sub(3)
      local name, negated = lookup(decls, word, fail)
      local decl = decls[name]
      if negated then
        if value then fail(("--%s takes no value"):format(word)) end
        out[name] = false
      elseif decl.kind == "boolean" then
        out[name] = value == nil or convert(decl, "--" .. word, value, fail)
      else
        if not value then
          i = i + 1
          value = args[i]
          if value == nil then fail(("--%s wants a value"):format(word)) end
        end
        out[name] = convert(decl, "--" .. word, value, fail)
      end
    elseif flags and arg:match "^%-[^%d%.]" then
      fail(("unknown option %s: parameters of a script are written --name=value"):format(arg))
    else
      words = words + 1
      out[words] = arg
    end
    i = i + 1
  end
  return out
end

local nouns = { number = "a number", string = "bytes", boolean = "a boolean" }

local function is_kind(decl, v)
  local t = type(v)
  if t == "cdata" then
    if decl.kind == "array" then return view.is_ro(v) and v.dtype == decl.array.dtype end
    return decl.kind == "number" and not view.is_ro(v) -- a 64-bit integer
  end
  return t == decl.kind
end

local function show(v)
  if type(v) == "table" then return "a list or map" end
  if type(v) == "cdata" and view.is_ro(v) then return ("an array of %.0f %s"):format(v.n, v.type) end
  return util.show(v)
end

-- What a program gives, by name and typed by the defaults as flags are, into what M.parse has made. Nothing
-- given (nil) leaves the default.
function M.give(decls, out, given, fail)
  if next(given) == nil then return end
  for name in pairs(given) do
    if type(name) ~= "string" then
      fail(("the parameter %s has no name: params is a map of names"):format(tostring(name)))
    end
  end
  local names = util.keys(decls)
  for _, name in ipairs(util.keys(given)) do
    local decl, v = decls[name], given[name]
    if not decl then
      fail(#names == 0 and ("unknown parameter %s: the script declares none"):format(util.show(name))
        or util.unknown("parameter", name, names))
    end
    if not is_kind(decl, v) then
      fail(("the parameter %s wants %s, not %s"):format(name, nouns[decl.kind] or wants(decl), show(v)))
    end
    out[name] = v
  end
end

function M.help(name, decls)
  local keys, rows, width = util.keys(decls), {}, 0
  if #keys == 0 then return name .. " declares no parameters.\n" end
  for _, key in ipairs(keys) do
    local decl = decls[key]
    local flag = "--" .. key:gsub("_", "-")
    if decl.kind == "boolean" and decl.default then flag = "--[no-]" .. flag:sub(3) end
    if kinds[decl.kind] then flag = flag .. " " .. kinds[decl.kind] end
    if wants(decl) then flag = key end
    local default = decl.kind == "number" and ("%.14g"):format(decl.default) or tostring(decl.default)
    if decl.kind == "string" then default = ("%q"):format(default) end
    local value = wants(decl) and wants(decl) .. ", by a program only" or "default " .. default
    rows[#rows + 1] = { flag, (decl.help and decl.help .. " " or "") .. "(" .. value .. ")" }
    width = math.max(width, #flag)
  end
  local out = { "Parameters of " .. name .. ":\n" }
  for _, row in ipairs(rows) do
    out[#out + 1] = ("  %s%s  %s\n"):format(row[1], (" "):rep(width - #row[1]), row[2])
  end
  return table.concat(out)
end

return M
