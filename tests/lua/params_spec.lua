local support = require "support"
local ffi = require "ffi"
local params = require "lsio.params"
local view = require "lsio.view"

local function declare(t) return params.declare(t, support.fail) end
local function parse(t, ...) return params.parse(declare(t), { ... }, support.fail) end
local function refused(t, ...) return support.message(parse, t, ...) end

describe("params", function()
  local t = { threshold = { 0.5, "help" }, verbose = false, quiet_mode = true, name = "x" }
  it("have their defaults", function()
    assert.same({ threshold = 0.5, verbose = false, quiet_mode = true, name = "x" }, parse(t))
  end)
  it("are typed by their default", function()
    assert.equal(7, parse(t, "--threshold=7").threshold)
    assert.equal(-7.5, parse(t, "--threshold", "-7.5").threshold)
    assert.equal(1e-3, parse(t, "--threshold=1e-3").threshold)
    assert.equal("7", parse(t, "--name=7").name)
    assert.equal("", parse(t, "--name=").name)
    assert.equal("a=b", parse(t, "--name=a=b").name)
    assert.is_true(parse(t, "--verbose").verbose)
    assert.is_true(parse(t, "--verbose=yes").verbose)
    assert.is_false(parse(t, "--verbose=off").verbose)
  end)
  it("take - for _ and --no- for switches", function()
    assert.is_false(parse(t, "--no-quiet-mode").quiet_mode)
    assert.is_false(parse(t, "--no_quiet_mode").quiet_mode)
    assert.is_true(parse(t, "--quiet-mode").quiet_mode)
  end)
  it("give words numbers", function()
    local p = parse(t, "a", "--verbose", "b", "-3", "--", "--threshold")
    assert.same({ "a", "b", "-3", "--threshold" }, { p[1], p[2], p[3], p[4] })
    assert.equal(0.5, p.threshold)
  end)
  it("refuse what is wrong and say what is right", function()
    assert.equal('unknown parameter "--treshold"; did you mean "--threshold"?', refused(t, "--treshold=1"))
    assert.equal('--threshold wants a number, not "x"', refused(t, "--threshold=x"))
    assert.equal("--threshold wants a value", refused(t, "--threshold"))
    assert.equal("--no-verbose takes no value", refused(t, "--no-verbose=1"))
    assert.truthy(refused(t, "--no-name"):find "unknown parameter")
    assert.equal("--t is a list or map: a program can give it (params of lsio_job_options), a command line can't",
      refused({ t = { {} } }, "--t=1"))
    assert.truthy(refused(t, "-v"):find "unknown option %-v")
    assert.equal("unknown parameter --a: the script declares none", refused({}, "--a"))
  end)
  it("of a program are typed by their default, too", function()
    local lent = {}
    local t = { n = 1, s = "x", b = false, t = { { 1 } }, a = { ffi.new("float[2]", 3, 4), "numbers" } }
    local decls = declare(t)
    local function give(given)
      local out = params.parse(decls, {}, support.fail, lent)
      params.give(decls, out, given, support.fail)
      return out
    end
    local p = give {}
    assert.same({ 1 }, p.t)
    assert.is_false(rawequal(t.t[1], p.t)) -- a job may change its own
    assert.is_true(view.is_ro(p.a) and lent[p.a])
    assert.equal(4, p.a[1])
    assert.equal(7LL, give({ n = 7LL }).n)
    assert.same({ x = 1 }, give({ t = { x = 1 } }).t)
    assert.equal("the parameter n wants a number, not a list or map", support.message(give, { n = {} }))
    assert.equal("the parameter a wants an array of f32, not 7LL", support.message(give, { a = 7LL }))
    assert.equal("the parameter a wants an array of f32, not an array of 0 f64",
      support.message(give, { a = view.make(9, nil, 0, false) }))
    assert.equal("the parameter s wants bytes, not an array of 2 f32", support.message(give, { s = p.a }))
    assert.equal('unknown parameter "nn"; did you mean "n"?', support.message(give, { nn = 1 }))
  end)
  it("are declared strictly", function()
    assert.truthy(support.message(declare, { 1 }):find "is not a name")
    assert.truthy(support.message(declare, { ["a b"] = 1 }):find "is not a name")
    assert.truthy(support.message(declare, { a = print }):find "a number, a string, a boolean, { a table } or an array")
    assert.truthy(support.message(declare, { a = { 1, "x", 3 } }):find "has no place here")
    assert.truthy(support.message(declare, { a = { 1, hlep = "x" } }):find "has no place here")
  end)
  it("have a help text", function()
    assert.equal("Parameters of job.lua:\n"
      .. '  --name TEXT        (default "x")\n'
      .. "  --[no-]quiet-mode  (default true)\n"
      .. "  --threshold N      help (default 0.5)\n"
      .. "  --verbose          (default false)\n", params.help("job.lua", declare(t)))
    assert.equal("job.lua declares no parameters.\n", params.help("job.lua", {}))
  end)
end)
