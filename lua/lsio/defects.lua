-- Wrong results that builds of LuaJIT are known to give, tried out for --doctor. Each probe computes
-- something often enough to be compiled and knows the answer. The numbers are those of LuaJIT's issues.
local ffi = require "ffi"
local bit = require "bit"

local M = {}

local TIMES = 200 -- the compiler begins at 56

local function negative_to_unsigned()
  local minus, r = -1, nil
  for i = 1, TIMES do r = ffi.cast("uint64_t", minus - (i - i)) end
  return r == 18446744073709551615ULL and ffi.cast("uint64_t", -1) == r
end

local function length_of_alias()
  local t, sum = {}, 0
  local same = t
  for i = 1, TIMES do
    same[i] = i
    sum = sum + #t
  end
  return sum == TIMES * (TIMES + 1) / 2
end

local function wide_shifts()
  local x, r = 0x123456789abcdefLL, nil
  for i = 1, TIMES do r = bit.rshift(bit.band(x + (i - i), 0xff00000000000LL), 40) end
  return r == 0x340LL
end

local function function_pointers()
  pcall(ffi.cdef, "double sin(double); double cos(double);") -- of the C library; once a process is enough
  local functions = ffi.new("double (*[2])(double, ...)", ffi.C.cos, ffi.C.sin)
  local f, results = functions[0], {}
  for i = 1, TIMES do
    results[i] = f(1)
    f = functions[i % 2]
    f(0)
  end
  for i = TIMES / 2, TIMES do
    if math.abs(results[i] - (i % 2 == 1 and math.cos(1) or math.sin(1))) > 1e-9 then return false end
  end
  return true
end

local other_way
local function stored_twice(s)
  local t = {}
  t.key = -1
  t.key = #s
  if other_way then return t.key + 0 end
  return t.key
end

local function table_fields()
  local function call(s) return stored_twice(s) end
  jit.off(call)
  for k = 0, 1 do
    other_way = k == 1
    for _ = 1, TIMES do
      if call("") ~= 0 then return false end
    end
  end
  return true
end

local function pointer_differences()
  local a, b = ffi.cast("char *", 0x700000000000ULL), ffi.cast("char *", 0x100ULL)
  for _ = 1, TIMES do
    if a - b ~= 0x700000000000 - 0x100 then return false end
  end
  return true
end

local function unsigned_to_wide()
  local x = ffi.new("uint32_t[1]", 0xfffffff0)
  for _ = 1, TIMES do
    if ffi.cast("int64_t", x[0]) + 1LL ~= 0xfffffff1LL then return false end
  end
  return true
end

local function alignment_of_references()
  local t = ffi.typeof "struct __attribute__((aligned(4))) { uint8_t a; }"
  return ffi.alignof(ffi.typeof("$ &", t)) == 4
end

local function sign_of_ceil()
  local r
  for i = 1, TIMES do r = 1 / math.ceil(-0.5 - (i - i)) end
  return r == -math.huge
end

-- What a NaN gives depends on the order of arguments, but not on whether it is compiled.
local function nan_in_min_and_max()
  local nan, first = 0 / 0, nil
  for i = 1, TIMES do
    local r = math.min(math.min(1.2, nan), 1.3) + math.min(math.max(nan, 1), 1)
    if i == 1 then first = r end
    if r ~= first then return false end
  end
  return true
end

-- Description, what to do instead, probe.
local probes = {
  { "a negative number converted to uint64_t is wrong", "use int64_t", negative_to_unsigned },
  { "#t is stale after a store through another name of the table (843)", "use one name",
    length_of_alias },
  { "64-bit shifts of masked values are wrong (1079)", "shift first, or use kernels", wide_shifts },
  { "a C function with variable arguments that changes in a loop is called wrongly (1244)",
    "call by name", function_pointers },
  { "a table field that is set twice may keep its first value (1128)", "set it once", table_fields },
  { "differences of pointers beyond 2^31 elements are wrong (1449)", "subtract indices",
    pointer_differences },
  { "32-bit unsigned numbers converted to 64 bits are wrong", "use tonumber", unsigned_to_wide },
  { "the alignment of references to aligned structs is wrong (861)", "ask for the struct's",
    alignment_of_references },
  { "math.ceil loses the sign of zero (859)", "do not divide by it", sign_of_ceil },
  { "math.min and max give other results with NaN once compiled (1082)", "test for NaN first",
    nan_in_min_and_max },
}

-- LuaJIT's table of types grows at powers of two, and calls of some builds go on with pointers into the old
-- one (920, 1108): no probe may be what makes it grow.
local MADE_BY_PROBES = 64 -- types, at most
local function leave_room_for_types()
  local count = 0
  repeat
    count = count + 1
    local last = tonumber(ffi.typeof("struct { char of_its_own[$]; }", count))
    local full = 128
    while full <= last do full = 2 * full end
  until full - last > MADE_BY_PROBES
end

-- How many were tried, and a text for each that went wrong.
function M.find()
  local found = {}
  leave_room_for_types()
  for _, p in ipairs(probes) do
    local ok, right = pcall(p[3])
    if not (ok and right) then found[#found + 1] = ("%s: %s"):format(p[1], p[2]) end
  end
  return #probes, found
end

return M
