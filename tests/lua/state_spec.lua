local support = require "support"
local ffi = require "ffi"
local state = require "lsio.state"

local function parse(text) return state.parse(text, support.fail) end
local function refused(text) return support.message(parse, text) end

local function make(text, reducers)
  local fields = parse(text)
  local layout = state.layout(fields)
  return state.construct(fields, layout, function(name) return (reducers or {})[name] end), layout
end

describe("state text", function()
  it("holds scalars and arrays of C's and our types", function()
    local f = parse " double a, b[3];\n/* c */ unsigned int u; // x\n unsigned v; i16 w; lsio_moments m "
    local names = {}
    for i, x in ipairs(f) do names[i] = x.name end
    assert.same({ "a", "b", "u", "v", "w", "m" }, names)
    assert.equal(3, f[2].n)
    assert.equal("u32", f[3].t.name)
    assert.equal("i16", f[5].t.name)
    assert.is_true(f[6].moments)
  end)
  it("refuses everything else", function()
    assert.truthy(refused "dobule a;":find 'did you mean "double"')
    assert.truthy(refused "double a, a;":find "declared twice")
    assert.truthy(refused "double *p;":find "neither a name")
    assert.truthy(refused "double a[2][2];":find "neither a name")
    assert.truthy(refused "double a[0];":find "from 1")
    assert.truthy(refused "double a[x];":find "whole number")
    assert.truthy(refused "double a[1e9];":find "whole number")
    assert.truthy(refused "struct { int a; } b;":find "state:")
    assert.truthy(refused "double;":find "not a declaration")
    assert.truthy(refused "double a b;":find "neither a name")
    assert.truthy(refused ";;":find "no fields")
    assert.truthy(refused "double __a;":find "reserved")
    assert.truthy(refused "lsio_moments m[3];":find "not supported")
  end)
end)

describe("a state", function()
  it("starts at its reducers' identities", function()
    local s = make("double s, p, lo, hi; i8 a, b; u16 c; i64 d, e; u64 f, g; i32 h; u8 i; f32 j[3];",
      { s = "sum", p = "prod", lo = "min", hi = "max", a = "min", b = "max", c = "min", d = "min", e = "max",
        f = "band", g = "max", h = "band", i = "bor", j = "min" })
    assert.same({ 0, 1, math.huge, -math.huge }, { s.s, s.p, s.lo, s.hi })
    assert.same({ 127, -128, 65535 }, { s.a, s.b, s.c })
    assert.is_true(s.d == 9223372036854775807LL and s.e == -9223372036854775807LL - 1LL)
    assert.is_true(s.f == 18446744073709551615ULL and s.g == 0ULL)
    assert.same({ -1, 0, math.huge, math.huge }, { s.h, s.i, s.j[0], s.j[2] })
  end)
  it("checks names and indices", function()
    local s = make "double sum, hist[4]; lsio_moments m;"
    s.sum, s.hist[3], s.m.n = 5, 7, 2
    assert.same({ 5, 7, 2 }, { s.sum, s.hist[3], s.m.n })
    assert.equal('unknown state field "sun"; did you mean "sum"?', support.message(function() return s.sun end))
    assert.truthy(support.message(function() s.sun = 1 end):find "unknown state field")
    assert.truthy(support.message(function() s.hist[4] = 1 end):find "out of range")
    assert.truthy(support.message(function() s.hist = 1 end):find "assign to its elements")
  end)
  it("has one C type for equal layouts", function()
    local _, a = make "double a; i32 b[2];"
    local _, b = make "double a;  i32  b[2] ;"
    assert.equal(a, b)
    assert.equal(16, a.size)
  end)
  it("is measured without a C type, as the compiler lays it out", function()
    local types = { "i8", "u16", "i32", "u64", "f32", "double", "lsio_moments" }
    math.randomseed(7)
    for _ = 1, 200 do
      local text = {}
      for i = 1, math.random(1, 8) do
        local t = types[math.random(#types)]
        local array = t ~= "lsio_moments" and math.random() < 0.3
        text[i] = ("%s f%d%s;"):format(t, i, array and ("[%d]"):format(math.random(1, 9)) or "")
      end
      local fields = parse(table.concat(text))
      local before = tonumber(ffi.typeof "struct { int32_t _; }")
      local size, total = state.measure(fields)
      assert.equal(before + 2, tonumber(ffi.typeof "struct { int32_t _; }"))
      local plain = table.concat(text):gsub("(%f[%w][iuf]%d+)( f)", function(name, f)
        return require "lsio.view".by_name[name].c .. f
      end)
      assert.equal(ffi.sizeof(ffi.typeof("struct { " .. plain .. " }")), size, plain)
      assert.equal(ffi.sizeof(state.layout(fields).struct), total, plain)
    end
  end)
end)
