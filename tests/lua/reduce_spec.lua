local support = require "support"
local ffi = require "ffi"
local reduce = require "lsio.reduce"

describe("reduce", function()
  it("merges by name", function()
    assert.same({ a = 6, b = 1, c = 3, d = 6 },
      reduce.all({ a = "sum", b = "min", c = "max", d = "prod", e = "none" }, {
        { a = 1, b = 1, c = 1, d = 1, e = 9 }, { a = 2, b = 2, c = 2, d = 2 }, { a = 3, b = 3, c = 3, d = 3 } }))
    assert.same({ a = 4, b = 7 }, reduce.all({ a = "band", b = "bor" }, { { a = 6, b = 3 }, { a = 12, b = 6 } }))
    assert.equal(2 ^ 32 + 1, reduce.all("bor", { 2 ^ 32, 1 }))
  end)
  it("keeps integers exact", function()
    local v = reduce.all("sum", { 2LL ^ 62, 1, 5LL })
    assert.is_true(v == 4611686018427387910LL)
    assert.equal(3, reduce.all("sum", { 1LL, 2LL }))
    assert.is_true(reduce.all("max", { 9223372036854775806LL, 5 }) == 9223372036854775806LL)
  end)
  it("lets NaN win in min and max, in any order", function()
    local nan = 0 / 0
    for _, name in ipairs { "min", "max" } do
      for _, list in ipairs { { nan, 1 }, { 1, nan }, { 1, nan, 2 } } do
        local v = reduce.all(name, list)
        assert.is_true(v ~= v)
      end
    end
  end)
  it("merges tables key by key, lists and strings by concat", function()
    assert.same({ a = 3, b = 2, c = 5 }, reduce.all("sum", { { a = 1, b = 2 }, { a = 2, c = 5 } }))
    assert.same({ x = { 4, 6 } }, reduce.all({ x = "sum" }, { { x = { 1, 2 } }, { x = { 3, 4 } } }))
    assert.same({ 1, 2, 3 }, reduce.all("concat", { { 1 }, { 2, 3 } }))
    assert.equal("abc", reduce.all("concat", { "a", "b", "c" }))
    assert.truthy(support.message(reduce.all, "concat", { "a", {} }):find "concat")
    assert.truthy(support.message(reduce.all, "sum", { "a", 1 }):find "can't merge")
    assert.truthy(support.message(reduce.all, { a = "sum" }, { 1, 2 }):find "not a table")
  end)
  it("calls a function in worker order", function()
    assert.equal("((1+2)+3)", reduce.all(function(a, b) return ("(%s+%s)"):format(a, b) end, { 1, 2, 3 }))
    local keep = {}
    local sums = reduce.all(function(a, b)
      a.h[0] = a.h[0] + b.h[0]
      return a
    end, {
      reduce.plain({ h = ffi.new("double[2]", 1, 2) }, "v"),
      reduce.plain({ h = ffi.new("double[2]", 3, 4) }, "v"),
    }, keep)
    assert.same({ 4, 2, 2 }, { sums.h[0], sums.h[1], #sums.h })
    assert.is_nil(reduce.all("none", { 1, 2 }))
  end)
  it("merges moments as if all values were one set", function()
    math.randomseed(3)
    local function moments(list)
      local n, mean, m2 = #list, 0, 0
      for _, v in ipairs(list) do mean = mean + v / n end
      for _, v in ipairs(list) do m2 = m2 + (v - mean) ^ 2 end
      return { n = n, mean = mean, m2 = m2 }
    end
    local all, parts = {}, { { n = 0, mean = 0, m2 = 0 } }
    for _ = 1, 5 do
      local part = {}
      for i = 1, math.random(1, 50) do
        part[i] = math.random() * 100
        all[#all + 1] = part[i]
      end
      parts[#parts + 1] = moments(part)
    end
    local want, got = moments(all), reduce.all("moments", parts)
    assert.equal(want.n, got.n)
    assert.is_true(math.abs(want.mean - got.mean) < 1e-9 and math.abs(want.m2 - got.m2) < 1e-6)
  end)
end)

describe("plain data", function()
  it("crosses, with arrays", function()
    local v = reduce.plain({ 1, "x", { true }, a = ffi.new("double[2]", 3, 4), i = 5LL }, "v")
    assert.equal(2, v.a.n)
    assert.equal("f64", v.a.__array)
    local keep = {}
    local shown = reduce.present(v, keep)
    assert.equal(4, shown.a[1])
    assert.equal(2, #shown.a)
    assert.equal(5, shown.i)
    assert.equal(1, #keep)
  end)
  it("may be mixed with views, objects and itself by a reduce function", function()
    local keep = {}
    local v = reduce.plain({ h = ffi.new("double[2]", 3, 4), big = 2LL ^ 60, n = 7LL }, "v")
    v.t, v.f = v, print
    setmetatable(v, { __index = function(_, key) error("no field " .. key) end })
    for _ = 1, 3 do
      assert.equal(v, reduce.present(v, keep))
      assert.same({ 3, 4, 2 }, { v.h[0], v.h[1], #v.h })
    end
    assert.equal(print, v.f)
    assert.equal(7, v.n)
    assert.equal("number", type(v.n))
    assert.is_true(v.big == 2LL ^ 60)
  end)
  it("is all that crosses", function()
    assert.truthy(support.message(reduce.plain, { f = print }, "v"):find "v.f is a function")
    assert.truthy(support.message(reduce.plain, { [{}] = 1 }, "v"):find "key of type table")
    assert.truthy(support.message(reduce.plain, { p = ffi.new "double *" }, "v"):find "v.p is a cdata")
    local t = {}
    t.t = t
    assert.truthy(support.message(reduce.plain, t, "v"):find "nests deeper")
  end)
end)
