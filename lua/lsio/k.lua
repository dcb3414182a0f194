-- lsio.k: the vector kernels. Types come from the views, n is checked against them (nil: all of src).
local ffi = require "ffi"
local kernel = require "lsio.kernel"
local util = require "lsio.util"
local view = require "lsio.view"

local type = type
local K, bad, cells, exact, size = kernel.K, kernel.bad, kernel.cells, kernel.exact, kernel.size
local source, target, count, number = kernel.source, kernel.target, kernel.count, kernel.number
local by_type, by_types = kernel.by_type, kernel.by_types
local same_type, no_overlap = kernel.same_type, kernel.no_overlap

local k = {}

do
  local memory = setmetatable({}, { __mode = "k" })
  -- A new writable view of n zeros, for masks and the like: make it once, not in every step. Its memory
  -- is the Lua state's, and lives as long as the view.
  function k.array(name, n)
    local t, big = nil, nil
    if type(name) == "string" then t, big = view.parse_type(name) end
    if not t then bad("array: %s is no element type; write u8, f32, f64, ...", util.show(name)) end
    if big then bad("array: %s is big-endian; views are in native order", util.show(name)) end
    kernel.whole(n, 0, nil, "array", "n")
    local block = ffi.new(ffi.typeof("$[?]", ffi.typeof(t.c)), n)
    local v = view.make(t.id, block, n, true)
    memory[v] = block
    return v
  end
end

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

do
  local f = by_types "scale_offset"
  function k.scale_offset(src, n, dst, scale, offset)
    src = source(src, "scale_offset")
    n = count(src, n, "scale_offset")
    dst = target(dst, n, "scale_offset")
    no_overlap(src, n, dst, "scale_offset")
    f[src.dtype][dst.dtype](src.ptr, n, dst.ptr, number(scale, "scale_offset", "scale"),
      number(offset, "scale_offset", "offset"))
  end
end

do
  local f = by_types "cast"
  function k.cast(src, n, dst)
    src = source(src, "cast")
    n = count(src, n, "cast")
    dst = target(dst, n, "cast")
    no_overlap(src, n, dst, "cast")
    f[src.dtype][dst.dtype](src.ptr, n, dst.ptr)
  end
end

do
  local f = K.byteswap
  function k.byteswap(src, n, dst)
    src = source(src, "byteswap")
    n = count(src, n, "byteswap")
    dst = target(dst, n, "byteswap")
    if size[dst.dtype] ~= size[src.dtype] then
      bad("byteswap: elements of src and dst must be of the same size, not %s and %s", src.type, dst.type)
    end
    no_overlap(src, n, dst, "byteswap")
    f(src.ptr, n, dst.ptr, size[src.dtype])
  end
end

do
  local f = by_type "clip"
  function k.clip(src, n, dst, lo, hi)
    src = source(src, "clip")
    n = count(src, n, "clip")
    dst = target(dst, n, "clip")
    same_type(src, dst, "clip")
    no_overlap(src, n, dst, "clip")
    f[src.dtype](src.ptr, n, dst.ptr, number(lo, "clip", "lo"), number(hi, "clip", "hi"))
  end
end

do
  local f = by_type "fill"
  function k.fill(dst, n, value)
    dst = target(dst, 0, "fill")
    f[dst.dtype](dst.ptr, count(dst, n, "fill"), number(value, "fill", "the value"))
  end
end

do
  local f = by_type "fill_sentinel"
  -- dst = src with elements equal to `sentinel` replaced; returns how many.
  function k.fill_sentinel(src, n, dst, sentinel, value)
    src = source(src, "fill_sentinel")
    n = count(src, n, "fill_sentinel")
    dst = target(dst, n, "fill_sentinel")
    same_type(src, dst, "fill_sentinel")
    no_overlap(src, n, dst, "fill_sentinel")
    return (f[src.dtype](src.ptr, n, dst.ptr, number(sentinel, "fill_sentinel", "the sentinel"),
      number(value, "fill_sentinel", "the value")))
  end
end

do
  local f = by_type "fill_nan"
  -- dst = src with NaN replaced; returns how many.
  function k.fill_nan(src, n, dst, value)
    src = source(src, "fill_nan")
    n = count(src, n, "fill_nan")
    dst = target(dst, n, "fill_nan")
    same_type(src, dst, "fill_nan")
    no_overlap(src, n, dst, "fill_nan")
    return (f[src.dtype](src.ptr, n, dst.ptr, number(value, "fill_nan", "the value")))
  end
end

do
  local f = K.flip
  -- dst = src backwards.
  function k.flip(src, n, dst)
    src = source(src, "flip")
    n = count(src, n, "flip")
    dst = target(dst, n, "flip")
    same_type(src, dst, "flip")
    no_overlap(src, n, dst, "flip")
    f(src.ptr, n, dst.ptr, size[src.dtype])
  end
end

local function bytes_of(src, name)
  if src.dtype > 1 then bad("%s: src is %s; it searches bytes (u8 or i8)", name, src.type) end
end

do
  local f = K.find
  local byte_pointer = ffi.typeof "const uint8_t *"
  -- 0-based position of the first occurrence of the string at or after `from` (default 0), or nil.
  function k.find(src, n, needle, from)
    src = source(src, "find")
    n = count(src, n, "find")
    bytes_of(src, "find")
    if type(needle) ~= "string" then bad("find: the needle must be a string, not %s", util.show(needle)) end
    from = from or 0
    if not util.whole(from, 0, n) then
      bad("find: from is %s, not a whole number from 0 to %.0f", util.show(from), n)
    end
    local at = f(ffi.cast(byte_pointer, src.ptr) + from, n - from, needle, #needle)
    if at < 0 then return nil end
    return from + at
  end
end

do
  local f = K.count_bytes
  function k.count_bytes(src, n, needle)
    src = source(src, "count_bytes")
    n = count(src, n, "count_bytes")
    bytes_of(src, "count_bytes")
    if type(needle) ~= "string" then
      bad("count_bytes: the needle must be a string, not %s", util.show(needle))
    end
    return (f(src.ptr, n, needle, #needle))
  end
end

do
  local f = K.crc32c
  -- Of the n elements' bytes; pass the last result as `crc` to go on.
  function k.crc32c(src, n, crc)
    src = source(src, "crc32c")
    n = count(src, n, "crc32c")
    return (f(crc == nil and 0 or number(crc, "crc32c", "crc"), src.ptr, n * size[src.dtype]))
  end
end

do
  local f = K.copy
  function k.copy(src, n, dst)
    src = source(src, "copy")
    n = count(src, n, "copy")
    dst = target(dst, n, "copy")
    same_type(src, dst, "copy")
    no_overlap(src, n, dst, "copy")
    f(src.ptr, n * size[src.dtype], dst.ptr, false)
  end
end

for _, part in ipairs { "lsio.k_group", "lsio.k_hash", "lsio.k_mask", "lsio.k_order", "lsio.k_pair",
  "lsio.k_select" } do
  for name, f in pairs(require(part)) do k[name] = f end
end

return k
