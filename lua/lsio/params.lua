-- `params` of a job: declaration, command line, help text. Values are typed by their default.
local util = require "lsio.util"

local M = {}

jit.off(true, true) -- what runs once a job is no work for the compiler: a trace that fails makes others wait

local kinds = { number = "N", string = "TEXT", boolean = false }

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
    if kinds[type(default)] == nil then
      fail(("params.%s: the default must be a number, a string or a boolean, not %s"):format(name,
        util.show(default)), name)
    end
    if help ~= nil and type(help) ~= "string" then
      fail(("params.%s: the help must be a string, not %s"):format(name, util.show(help)), name)
    end
    out[name] = { default = default, help = help, kind = type(default) }
  end
  return out
end

local function convert(decl, flag, text, fail)
  if decl.kind == "string" then return text end
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

-- Command line words to values: { name = value, [1] = word, ... }.
function M.parse(decls, args, fail)
  local out, words, i, flags = {}, 0, 1, true
  for name, decl in pairs(decls) do out[name] = decl.default end
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

function M.help(name, decls)
  local keys, rows, width = util.keys(decls), {}, 0
  if #keys == 0 then return name .. " declares no parameters.\n" end
  for _, key in ipairs(keys) do
    local decl = decls[key]
    local flag = "--" .. key:gsub("_", "-")
    if decl.kind == "boolean" and decl.default then flag = "--[no-]" .. flag:sub(3) end
    if kinds[decl.kind] then flag = flag .. " " .. kinds[decl.kind] end
    local default = decl.kind == "number" and ("%.14g"):format(decl.default) or tostring(decl.default)
    if decl.kind == "string" then default = ("%q"):format(default) end
    rows[#rows + 1] = { flag, (decl.help and decl.help .. " " or "") .. "(default " .. default .. ")" }
    width = math.max(width, #flag)
  end
  local out = { "Parameters of " .. name .. ":\n" }
  for _, row in ipairs(rows) do
    out[#out + 1] = ("  %s%s  %s\n"):format(row[1], (" "):rep(width - #row[1]), row[2])
  end
  return table.concat(out)
end

return M
