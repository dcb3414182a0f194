local support = require "support"
local ffi = require "ffi"
local view = require "lsio.view"

local refused = support.message

describe("views", function()
  local data = ffi.new("float[4]", 1, 2, 3, 4)
  local ro = view.make(8, data, 4, false)
  local rw = view.make(8, data, 4, true)
  it("read and say what they are", function()
    assert.equal(1, ro[0])
    assert.equal(4, ro[3])
    assert.equal(4, ro.n)
    assert.equal(4, #ro)
    assert.equal("f32", ro.type)
    assert.equal(3, ro.ptr[2])
    assert.equal("view of 4 f32", tostring(ro))
  end)
  it("read no NaN of a file as anything but a number", function()
    local high = { 0xffffffff, 0xfff90000, 0xffff8000, 0xfffe7fff, 0xffc00001, 0x7fffffff, 0x7ff00001,
      0xfff80000, 0xfffb1234 }
    local words = ffi.new("uint32_t[?]", 2 * #high)
    for i, bits in ipairs(high) do words[2 * i - 2], words[2 * i - 1] = bits, bits end
    local function check()
      local f32, f64 = view.make(8, words, 2 * #high, false), view.make(9, words, #high, true)
      for i = 0, #high - 1 do
        for _, x in ipairs { { f32[2 * i] }, { f32[2 * i + 1] }, { f64[i] } } do
          assert.equal("number", type(x[1]))
        end
        assert.truthy(f32[2 * i] ~= f32[2 * i])
        assert.equal(high[i + 1] ~= 0xffc00001, f64[i] ~= f64[i]) -- that one is a finite double
      end
    end
    jit.off()
    jit.flush()
    check()
    jit.on()
    for _ = 1, 100 do check() end
  end)
  it("check every index", function()
    local function get(v, i) return v[i] end
    assert.equal("index 4 is out of range: valid are 0 to 3", refused(get, ro, 4))
    assert.equal("index -1 is out of range: valid are 0 to 3", refused(get, ro, -1))
    assert.equal("index 0.5 is not a whole number", refused(get, ro, 0.5))
    assert.truthy(refused(get, ro, 0 / 0))
    assert.truthy(refused(get, ro, math.huge):find "out of range")
    assert.truthy(refused(get, ro, {}):find "must be a number")
    assert.equal('unknown field of a view "tpye"; did you mean "type"?', refused(get, ro, "tpye"))
    assert.truthy(refused(get, view.make(8, data, 0), 0):find("^index 0 is out of range: there are no elements"))
  end)
  it("write only where they may", function()
    local function set(v, i, x) v[i] = x end
    set(rw, 3, 9)
    assert.equal(9, data[3])
    assert.truthy(refused(set, rw, 4, 1):find "out of range")
    assert.truthy(refused(set, rw, 1.5, 1):find "whole number")
    assert.truthy(refused(set, rw, 0, "x"):find "convert")
    assert.truthy(refused(set, ro, 0, 1):find "read%-only")
    assert.truthy(refused(function() ro.ptr[0] = 1 end):find "constant")
    assert.truthy(refused(function() rw.n = 10 end):find "constant")
    assert.truthy(refused(function() rw.ptr = data end):find "constant")
  end)
  it("are told apart", function()
    assert.is_true(view.is_ro(ro) and not view.is_rw(ro))
    assert.is_true(view.is_rw(rw) and not view.is_ro(rw))
    assert.is_false(view.is_ro(data) or view.is_rw(data))
  end)
  it("stay right when compiled", function()
    local big = ffi.new "double[1000]"
    local v = view.make(9, big, 1000, true)
    for _ = 1, 100 do
      for i = 0, 999 do v[i] = v[i] + i end
    end
    for i = 0, 999 do assert.equal(100 * i, big[i]) end
    local seen = 0
    for i = 0, 2000 do
      if pcall(function() return v[i] end) then seen = seen + 1 end
    end
    assert.equal(1000, seen)
    local function sum(last)
      local s = 0
      for i = 0, last do s = s + v[i] end
      return s
    end
    for _ = 1, 100 do sum(999) end
    assert.truthy(refused(sum, 1000):find "index 1000 is out of range")
  end)
  it("give 64-bit integers that are not const", function()
    for _, name in ipairs { "i64", "u64" } do
      local t = view.by_name[name]
      local memory = ffi.new(t.c .. "[2]", 7, 8)
      local v = view.make(t.id, memory, 2, false)
      local function check()
        assert.equal("ctype<" .. t.c .. ">", tostring(ffi.typeof(v[1])))
        assert.equal("8", ("%d"):format(v[1]))
      end
      jit.off()
      check()
      jit.on()
      for _ = 1, 100 do check() end
      assert.equal(8, tonumber(memory[1]))
    end
  end)
  it("are made of FFI arrays", function()
    for id = 0, 9 do
      local t = view.types[id]
      local v = view.of_array(ffi.new(t.c .. "[3]"))
      assert.equal(t.name, v.type)
      assert.equal(3, v.n)
      assert.is_true(view.is_rw(v))
    end
    assert.equal(5, view.of_array(ffi.new("double[?]", 5)).n)
    assert.is_true(view.is_ro(view.of_array(ffi.new "const double[2]")))
    local struct = ffi.new "struct { double a[4]; }"
    assert.equal(4, view.of_array(struct.a).n)
    local _, why = view.of_array(ffi.new "double *")
    assert.truthy(why:find "has no length")
    _, why = view.of_array {}
    assert.truthy(why:find "not a view or an FFI array")
  end)
end)

describe("type names", function()
  it("are ours and numpy's", function()
    local function parse(text)
      local t, big = view.parse_type(text)
      return t and t.name, big
    end
    assert.same({ "f32", false }, { parse "f32" })
    assert.same({ "f32", true }, { parse "f32be" })
    assert.same({ "i16", true }, { parse ">i2" })
    assert.same({ "u8", false }, { parse "|u1" })
    assert.same({ "u8", false }, { parse ">u1" })
    assert.same({ "i8", false }, { parse "<i1" })
    assert.same({ "i64", false }, { parse "<i8" })
    for _, bad in ipairs { "f16", "<f3", "|f4", "float", "", "f32le", "i8x", ">>i4" } do
      assert.is_nil((parse(bad)), bad)
    end
  end)
end)
