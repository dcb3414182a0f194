-- Arithmetic on two views, part of lsio.k: add, sub, mul, div, add_valid.
local kernel = require "lsio.kernel"
local util = require "lsio.util"

local type = type
local bad, by_type, same_type, no_overlap = kernel.bad, kernel.by_type, kernel.same_type, kernel.no_overlap
local source, target, operand, count = kernel.source, kernel.target, kernel.operand, kernel.count

local k = {}

-- The second operand: n elements of a's type. dst must be apart from it, or it.
local function second(a, n, dst, b, name)
  if type(b) ~= "cdata" then
    bad("%s: b must be a view, not %s%s", name, util.show(b),
      type(b) == "number" and "; scale_offset takes numbers" or "")
  end
  b = operand(b, n, name, "b")
  same_type(a, b, name, "b", "a")
  no_overlap(a, n, dst, name, nil, nil, "a")
  no_overlap(b, n, dst, name, nil, nil, "b")
  return b
end

-- dst = a + b and so on, all of one type; integers wrap.
for _, name in ipairs { "add", "sub", "mul" } do
  k[name] = assert(loadstring([[
    local f, source, second, count, target, same_type, name = ...
    return function(a, n, dst, b)
      a = source(a, name, "a")
      n = count(a, n, name)
      dst = target(dst, n, name)
      same_type(a, dst, name, nil, "a")
      b = second(a, n, dst, b, name)
      f[a.dtype](a.ptr, n, dst.ptr, b.ptr)
    end]], "=lsio.k"))(by_type(name), source, second, count, target, same_type, name)
end

do
  local f = { [8] = by_type "div_f32", [9] = by_type "div_f64" }
  -- dst = a / b. dst is f32 or f64, whatever the type of a and b.
  function k.div(a, n, dst, b)
    a = source(a, "div", "a")
    n = count(a, n, "div")
    dst = target(dst, n, "div")
    if dst.dtype < 8 then bad("div: dst is %s; a quotient is f32 or f64", dst.type) end
    b = second(a, n, dst, b, "div")
    f[dst.dtype][a.dtype](a.ptr, n, dst.ptr, b.ptr)
  end
end

do
  local f = by_type "add_valid"
  -- Where src is not NaN: sums += src, counts += 1. Returns for how many elements.
  function k.add_valid(src, n, sums, counts)
    src = source(src, "add_valid")
    n = count(src, n, "add_valid")
    sums = target(sums, n, "add_valid", "sums")
    counts = target(counts, n, "add_valid", "counts")
    if sums.dtype ~= 9 then bad("add_valid: sums must be f64, not %s", sums.type) end
    if counts.dtype ~= 9 then bad("add_valid: counts must be f64, not %s", counts.type) end
    no_overlap(src, n, sums, "add_valid", n, "sums")
    no_overlap(src, n, counts, "add_valid", n, "counts")
    no_overlap(sums, n, counts, "add_valid", n, "counts", "sums")
    return (f[src.dtype](src.ptr, n, sums.ptr, counts.ptr))
  end
end

return k
