local support = require "support"
local ffi = require "ffi"
local encode = require "lsio.encode"

describe("json", function()
  it("writes plain values", function()
    assert.equal("1", encode.json(1))
    assert.equal("-0.1", encode.json(-0.1))
    assert.equal("0.1", encode.json(0.1))
    assert.equal("1e+300", encode.json(1e300))
    assert.equal("9007199254740991", encode.json(2 ^ 53 - 1))
    assert.equal("true", encode.json(true))
    assert.equal("null", encode.json(nil))
    assert.equal("null", encode.json(0 / 0))
    assert.equal("null", encode.json(-math.huge))
    assert.equal("123456789012345678", encode.json(123456789012345678LL))
    assert.equal("18446744073709551615", encode.json(18446744073709551615ULL))
  end)
  it("reads back as the same double", function()
    math.randomseed(1)
    for _ = 1, 1000 do
      local v = (math.random() - 0.5) * 10 ^ math.random(-20, 20)
      local text = encode.json(v)
      assert.equal(v, tonumber(text))
    end
  end)
  it("escapes", function()
    assert.equal([["a\"b\\c\n\t\u0001\u0000"]], encode.json 'a"b\\c\n\t\1\0')
  end) -- bytes beyond ASCII are C's: see tests/cli/test_state.py
  it("counts what JSON has no numbers for", function()
    local text, n = encode.json { 1, 0 / 0, { math.huge, -math.huge }, ffi.new("float[2]", 1, 0 / 0) }
    assert.equal("[1,null,[null,null],[1,null]]", text)
    assert.equal(4, n)
    assert.equal(0, select(2, encode.json { 1 }))
  end)
  it("tells lists from objects", function()
    assert.equal("[1,2]", encode.json { 1, 2 })
    assert.equal('{"1":1,"3":2}', encode.json { [1] = 1, [3] = 2 })
    assert.equal('{"a":[{"b":1}]}', encode.json { a = { { b = 1 } } })
    assert.equal("{}", encode.json {})
  end)
  it("takes what is in a table, not what its metatable says", function()
    local strict = { __index = function(_, key) error("no field " .. key) end }
    assert.equal('{"a":1}', encode.json(setmetatable({ a = 1 }, strict)))
    assert.equal("[1]", encode.json(setmetatable({ 1 }, strict)))
  end)
  it("refuses keys that are one in JSON", function()
    assert.equal('a record has two keys, the number 1 and the string "1", that are one in JSON',
      support.message(encode.json, { 7, ["1"] = 8 }))
    assert.equal('the state has two keys, the number 0.5 and the string "0.5", that are one in JSON at a.b[2]',
      support.message(encode.json, { a = { b = { 1, { [0.5] = 7, ["0.5"] = 8 } } } }, "the state"))
    assert.truthy(support.message(encode.json, { [math.huge] = 1, inf = 2 }):find "number inf")
    assert.equal('{"-inf":2,"inf":1}', encode.json { [math.huge] = 1, [-math.huge] = 2 })
    assert.equal('{"1":7,"2":9,"01":8}', encode.json { 7, 9, ["01"] = 8 })
  end)
  it("writes arrays", function()
    assert.equal("[1,2.5]", encode.json(ffi.new("double[2]", 1, 2.5)))
  end)
  it("refuses what has no form, and itself", function()
    assert.equal("a function can't be part of a record", support.message(encode.json, print))
    assert.equal("a function can't be part of the state at f[2]",
      support.message(encode.json, { f = { 1, print } }, "the state"))
    local t = {}
    t.t = t
    assert.truthy(support.message(encode.json, t):find "nests deeper")
    assert.truthy(support.message(encode.json, { [true] = 1 }):find "key of type boolean")
  end)
end)
