local support = require "support"
local env = require "lsio.env"

local function run(text, script)
  local f = assert(env.compile(text, "job.lua"))
  return pcall(setfenv(f, env.create(script or "job.lua", function() end)))
end
local function refused(text)
  local ok, message = run(text)
  assert.is_false(ok)
  return message
end

describe("a job's environment", function()
  it("can't be written", function()
    assert.truthy(refused "x = 1":find 'can\'t write the global "x"')
    assert.truthy(refused "print = 1":find 'global "print"')
    assert.truthy(refused "_G.y = 1":find 'global "y"')
    assert.truthy(refused "function f() end":find 'global "f"')
  end)
  it("knows what is not there", function()
    assert.truthy(refused "return pritn":find 'did you mean "print"')
    assert.truthy(refused "return banana_split":find "declare it with local")
  end)
  it("has the libraries, each job its own", function()
    assert.is_true((run "string.mine = 1; assert(string.mine and math.floor(1.5) == 1 and bit.bor(1, 2) == 3)"))
    assert.is_nil(string.mine)
    assert.is_true((run "assert(string.mine == nil)"))
    assert.is_true((run "local s = require 'string' assert(s == string)"))
    assert.is_true((run "assert(require('ffi').new and require('string.buffer').encode)"))
    assert.is_true((run "assert(_G.print == print)"))
  end)
  it("is that of loaded text too", function()
    assert.truthy(refused "assert(loadstring('z = 1'))()":find 'global "z"')
    assert.truthy(refused "assert(load('z = 1'))()":find 'global "z"')
    local ok, message = run "return load('\\27LJ')"
    assert.is_true(ok and message == nil)
  end)
  it("requires text files beside the script", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir -p " .. dir .. "/pkg") == 0)
    local function write(name, text)
      local handle = assert(io.open(dir .. "/" .. name, "w"))
      handle:write(text)
      handle:close()
    end
    write("mod.lua", "local M = { n = 7, name = ... } return M")
    write("pkg/init.lua", "return { sub = require 'pkg.sub' }")
    write("pkg/sub.lua", "return 'sub'")
    write("leak.lua", "leaked = 1")
    write("broken.lua", "return {")
    local script = dir .. "/job.lua"
    assert.is_true((run("local m = require 'mod' assert(m.n == 7 and m.name == 'mod' and require 'mod' == m)",
      script)))
    assert.is_true((run("assert(require('pkg').sub == 'sub')", script)))
    local _, message = run("require 'leak'", script)
    assert.truthy(message:find 'global "leaked"')
    _, message = run("require 'broken'", script)
    assert.truthy(message:find "broken.lua:1")
    _, message = run("require 'absent'", script)
    assert.truthy(message:find "module 'absent' not found" and message:find(dir .. "/absent.lua", 1, true))
    os.execute("rm -r " .. dir)
  end)
  it("takes text only, with a first line for the shell", function()
    local f, message = env.compile("\27LJ\2", "job.lua")
    assert.is_nil(f)
    assert.truthy(message:find "bytecode")
    assert.equal(3, assert(env.compile("#!/usr/bin/env lsio-lua\nreturn 3", "job.lua"))())
    f, message = env.compile("#!x\n\nreturn {", "job.lua")
    assert.is_nil(f)
    assert.truthy(message:find "job.lua:3")
  end)
end)

describe("a compiled text", function()
  it("is kept, and gives each job functions of its own", function()
    local text = "#!x\nlocal n = 0\nreturn function(t)\n  n = n + 1\n  return n, t.x\nend, ..."
    local functions, lines = {}, {}
    for i = 1, 3 do
      local main = assert(env.compile(text, "job.lua"))
      local f, rest = main("rest")
      assert.equal("rest", rest)
      assert.equal(1, (f {}))
      assert.equal(2, (f {}))
      local info = debug.getinfo(f, "S")
      functions[f], lines[i] = true, info.source .. ":" .. info.linedefined
      assert.truthy(support.message(f):find("job.lua:5: attempt to index local 't'", 1, true))
    end
    local n = 0
    for _ in pairs(functions) do n = n + 1 end
    assert.equal(3, n)
    assert.same({ "@job.lua:3", "@job.lua:3", "@job.lua:3" }, lines)
    local other = assert(env.compile(text, "other.lua")) ""
    assert.equal("@other.lua", debug.getinfo(other, "S").source)
  end)
  it("goes when others are used instead", function()
    local first, second = "return 'first'", "return 'second'"
    env.compile(first, "job.lua")
    env.compile(second, "job.lua")
    for i = 1, 200 do
      env.compile("return " .. i, "job.lua")
      env.compile(first, "job.lua")
    end
    local n, _, there = env.kept(first)
    assert.equal(64, n)
    assert.is_true(there)
    assert.is_false((select(3, env.kept(second))))
    for i = 1, 100 do env.compile(("--"):rep(100000) .. "\nreturn " .. i, "job.lua") end
    local _, bytes = env.kept(first)
    assert.is_true(bytes > 3e6 and bytes <= 4194304)
    local large = ("--"):rep(1000000)
    assert.is_function((env.compile(large, "job.lua")))
    assert.is_false((select(3, env.kept(large))))
    assert.is_nil((env.compile("return {", "job.lua")))
    assert.is_false((select(3, env.kept "return {")))
  end)
end)
