-- Element by element, part of lsio.k: scale_offset, cast, byteswap, clip, fill, fill_sentinel, fill_nan,
-- flip, copy; and arrays for what they make.
local ffi = require "ffi"
local kernel = require "lsio.kernel"
local util = require "lsio.util"
local view = require "lsio.view"

local type = type
local K, bad, size, by_type, by_types = kernel.K, kernel.bad, kernel.size, kernel.by_type, kernel.by_types
local source, target, count, number = kernel.source, kernel.target, kernel.count, kernel.number
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

return k
