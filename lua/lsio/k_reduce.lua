-- Reductions, part of lsio.k: sum, sum_i64, min, max, minmax, sum_minmax, stats, moments, count_gt and its
-- like, histogram. Types come from the views, n is checked against them (nil: all of src).
local ffi = require "ffi"
local kernel = require "lsio.kernel"
local util = require "lsio.util"

local type = type
local K, bad, cells, exact, by_type = kernel.K, kernel.bad, kernel.cells, kernel.exact, kernel.by_type
local source, target, count, number = kernel.source, kernel.target, kernel.count, kernel.number

local k = {}

do
  local f = by_type "sum"
  function k.sum(src, n)
    src = source(src, "sum")
    return (f[src.dtype](src.ptr, count(src, n, "sum")))
  end
end

do
  local f = by_type("sum_i64", 8)
  -- The exact int64; saturates.
  function k.sum_i64(src, n)
    src = source(src, "sum_i64")
    if src.dtype > 7 then bad("sum_i64: src is %s; it sums integers", src.type) end
    return (f[src.dtype](src.ptr, count(src, n, "sum_i64")))
  end
end

for _, name in ipairs { "min", "max" } do
  local f = by_type(name)
  k[name] = assert(loadstring([[
    local f, cells, source, count, exact, name = ...
    return function(src, n)
      src = source(src, name)
      local cell = cells[src.dtype]
      f[src.dtype](src.ptr, count(src, n, name), cell)
      return (exact(cell[0]))
    end]], "=lsio.k"))(f, cells, source, count, exact, name)
end

do
  local f = by_type "minmax"
  function k.minmax(src, n)
    src = source(src, "minmax")
    local cell = cells[src.dtype]
    f[src.dtype](src.ptr, count(src, n, "minmax"), cell)
    return exact(cell[0]), exact(cell[1])
  end
end

do
  local f = by_type "sum_minmax"
  -- sum and minmax in one pass over memory, with the same results.
  function k.sum_minmax(src, n)
    src = source(src, "sum_minmax")
    local cell = cells[src.dtype]
    local sum = f[src.dtype](src.ptr, count(src, n, "sum_minmax"), cell)
    return sum, exact(cell[0]), exact(cell[1])
  end
end

do
  local f = by_type "stats"
  local above = ffi.new "double[1]"
  -- sum, minmax and count_gt in one pass over memory, with the same results.
  function k.stats(src, n, t)
    src = source(src, "stats")
    local cell = cells[src.dtype]
    local sum = f[src.dtype](src.ptr, count(src, n, "stats"),
      number(t, "stats", "the value to compare with"), cell, above)
    return sum, exact(cell[0]), exact(cell[1]), above[0]
  end
end

do
  local f = by_type "moments"
  local cell = ffi.new "lsio_moments"
  local merge = K.moments_merge
  -- Number, mean and sum of squared deviations; with `into` (an lsio_moments) they are added to it.
  function k.moments(src, n, into)
    src = source(src, "moments")
    if into ~= nil and not (type(into) == "cdata" and ffi.istype("lsio_moments", into)) then
      bad("moments: the third argument must be a state field of type lsio_moments, not %s",
        util.show(into))
    end
    f[src.dtype](src.ptr, count(src, n, "moments"), cell)
    if into ~= nil then merge(into, cell) end
    return cell.n, cell.mean, cell.m2
  end
end

-- One closure prototype per kernel: a shared one would make traces switch between function pointers.
for _, name in ipairs { "count_gt", "count_ge", "count_lt", "count_le", "count_eq" } do
  k[name] = assert(loadstring([[
    local f, source, count, number, name = ...
    return function(src, n, t)
      src = source(src, name)
      return (f[src.dtype](src.ptr, count(src, n, name), number(t, name, "the value to compare with")))
    end]], "=lsio.k"))(by_type(name), source, count, number, name)
end

do
  local f = by_type "count_between"
  -- lo <= x <= hi
  function k.count_between(src, n, lo, hi)
    src = source(src, "count_between")
    return (f[src.dtype](src.ptr, count(src, n, "count_between"), number(lo, "count_between", "lo"),
      number(hi, "count_between", "hi")))
  end
end

do
  local f = by_type "histogram"
  -- Adds to counts[0 .. bins-1] (doubles); returns how many elements lay in [lo, hi].
  function k.histogram(src, n, lo, hi, bins, counts)
    src = source(src, "histogram")
    n = count(src, n, "histogram")
    if not util.whole(bins, 1, 2147483647) then
      bad("histogram: bins is %s, not a whole number from 1", util.show(bins))
    end
    counts = target(counts, bins, "histogram", "counts")
    if counts.dtype ~= 9 then bad("histogram: counts must be double, not %s", counts.type) end
    local inside = f[src.dtype](src.ptr, n, number(lo, "histogram", "lo"), number(hi, "histogram", "hi"),
      bins, counts.ptr)
    if inside < 0 then bad("histogram: lo = %s must be less than hi = %s, both finite", lo, hi) end
    return inside
  end
end

return k
