-- Elements and bytes in another order, part of lsio.k: delta, undelta, transpose, shuffle, unshuffle,
-- copy_strided.
local ffi = require "ffi"
local kernel = require "lsio.kernel"
local util = require "lsio.util"

local type, floor = type, math.floor
local K, bad, size, by_type = kernel.K, kernel.bad, kernel.size, kernel.by_type
local source, target, count, whole = kernel.source, kernel.target, kernel.count, kernel.whole
local same_type, no_overlap = kernel.same_type, kernel.no_overlap

local k = {}

-- delta: dst[i] = src[i] - src[i - 1], and the first as it is; undelta takes it back.
for _, name in ipairs { "delta", "undelta" } do
  k[name] = assert(loadstring([[
    local f, source, count, target, same_type, no_overlap, name = ...
    return function(src, n, dst)
      src = source(src, name)
      n = count(src, n, name)
      dst = target(dst, n, name)
      same_type(src, dst, name)
      no_overlap(src, n, dst, name)
      f[src.dtype](src.ptr, n, dst.ptr)
    end]], "=lsio.k"))(by_type(name), source, count, target, same_type, no_overlap, name)
end

do
  local f = K.transpose
  -- dst, of shape (cols, rows), becomes the transpose of src, of shape (rows, cols).
  function k.transpose(src, rows, cols, dst)
    src = source(src, "transpose")
    whole(rows, 0, nil, "transpose", "rows")
    whole(cols, 0, nil, "transpose", "cols")
    local n = rows * cols
    if n > src.n then
      bad("transpose: src has %.0f elements, %.0f x %.0f are to be read", src.n, rows, cols)
    end
    dst = target(dst, n, "transpose")
    same_type(src, dst, "transpose")
    no_overlap(src, n, dst, "transpose", n)
    f(src.ptr, rows, cols, dst.ptr, size[src.dtype])
  end
end

-- Byte shuffle of items of `item` bytes; default: the size of the elements of dst (shuffle: of src).
for _, name in ipairs { "shuffle", "unshuffle" } do
  k[name] = assert(loadstring(([[
    local f, source, count, target, whole, no_overlap, bad, size, name = ...
    return function(src, n, dst, item)
      src = source(src, name)
      n = count(src, n, name)
      dst = target(dst, 0, name)
      local bytes, room = n * size[src.dtype], dst.n * size[dst.dtype]
      if bytes > room then bad("%%s: dst has %%.0f bytes, %%.0f are to be written", name, room, bytes) end
      if item == nil then item = size[%s.dtype] end
      whole(item, 1, 2147483647, name, "the size of an item")
      no_overlap(src, n, dst, name, bytes / size[dst.dtype])
      f(src.ptr, bytes, dst.ptr, item)
    end]]):format(name == "shuffle" and "src" or "dst"), "=lsio.k"))(K[name], source, count, target, whole,
    no_overlap, bad, size, name)
end

do
  local f = K.copy_strided
  local box = ffi.new "struct lsi_strided"
  local names = { from = "src_strides", to = "dst_strides" }

  local function integer(x, what, i)
    if type(x) == "number" and floor(x) == x and x >= -9007199254740992 and x <= 9007199254740992 then
      return x
    end
    bad("copy_strided: %s[%d] is %s, not a whole number", what, i, util.show(x))
  end

  -- Fills one of the box's arrays from a table; written out for each number of dimensions, because a
  -- loop would end the trace of whoever calls.
  local setters = {}
  for d = 0, 8 do
    local lines = { "local integer = ... return function(to, t, what)\n" }
    for i = 1, d do lines[#lines + 1] = ("to[%d] = integer(t[%d], what, %d)\n"):format(i - 1, i, i) end
    lines[#lines + 1] = "end"
    setters[d] = assert(loadstring(table.concat(lines), "=lsio.k"))(integer)
  end
  -- Strides of an array that holds the box alone, row by row.
  local packers = {}
  for d = 0, 8 do
    local lines = { "return function(to, shape) local n = 1\n" }
    for i = d, 1, -1 do lines[#lines + 1] = ("to[%d] = n n = n * shape[%d]\n"):format(i - 1, i) end
    lines[#lines + 1] = "end"
    packers[d] = assert(loadstring(table.concat(lines), "=lsio.k"))()
  end

  local function strides(field, given, shape, d)
    if given == nil then return packers[d](box[field], shape) end
    if type(given) ~= "table" or #given ~= d then
      bad("copy_strided: %s must be a table of %d numbers, one for each of shape's", names[field], d)
    end
    setters[d](box[field], given, names[field])
  end

  -- Copies a box of elements: shape, and for each dimension how many elements of src (dst) lie between
  -- neighbours; may be negative. nil: row by row without gaps. src_at, dst_at: the first element's index.
  function k.copy_strided(src, shape, dst, src_strides, dst_strides, src_at, dst_at)
    src = source(src, "copy_strided")
    dst = target(dst, 0, "copy_strided")
    same_type(src, dst, "copy_strided")
    if type(shape) ~= "table" or #shape > 8 then
      bad("copy_strided: shape must be a table of up to 8 numbers, not %s", util.show(shape))
    end
    local d = #shape
    setters[d](box.shape, shape, "shape")
    strides("from", src_strides, shape, d)
    strides("to", dst_strides, shape, d)
    box.ndim, box.from_n, box.to_n = d, src.n, dst.n
    box.from_at = src_at == nil and 0 or whole(src_at, 0, nil, "copy_strided", "src_at")
    box.to_at = dst_at == nil and 0 or whole(dst_at, 0, nil, "copy_strided", "dst_at")
    no_overlap(src, src.n, dst, "copy_strided", dst.n)
    local wrong = f(src.ptr, dst.ptr, size[src.dtype], box)
    if wrong == 1 then bad("copy_strided: the box leaves src, which has %.0f elements", src.n) end
    if wrong == 2 then bad("copy_strided: the box leaves dst, which has %.0f elements", dst.n) end
    if wrong ~= 0 then bad("copy_strided: a length of shape is negative") end
  end
end

return k
