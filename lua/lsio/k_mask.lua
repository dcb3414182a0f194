-- Masks, part of lsio.k: u8 vectors of 0 and 1 that comparisons write and `where` reads. One closure
-- prototype per kernel: a shared one would make traces switch between function pointers.
local kernel = require "lsio.kernel"
local util = require "lsio.util"

local type = type
local K, bad, cells, size = kernel.K, kernel.bad, kernel.cells, kernel.size
local source, target, operand, count = kernel.source, kernel.target, kernel.operand, kernel.count
local number, by_type = kernel.number, kernel.by_type
local same_type, no_overlap = kernel.same_type, kernel.no_overlap

local k = {}

-- A mask to write.
local function mask_target(dst, n, name)
  dst = target(dst, n, name)
  if dst.dtype ~= 1 then bad("%s: dst is %s; a mask is u8", name, dst.type) end
  return dst
end

-- A mask to read.
local function mask_source(x, name, what)
  x = source(x, name, what)
  if x.dtype > 1 then bad("%s: %s is %s; a mask is u8", name, what or "src", x.type) end
  return x
end

-- dst[i] = src[i] > t and so on; t is a number or a view of src's type.
for _, row in ipairs { { "gt", "gt_each" }, { "ge", "ge_each" }, { "lt", "gt_each", true },
  { "le", "ge_each", true }, { "eq", "eq_each" }, { "ne", "ne_each" } } do
  local name = row[1]
  k[name] = assert(loadstring(([[
    local f, each, source, operand, count, target, same_type, no_overlap, bad, show, name = ...
    local type = type
    return function(src, n, dst, t)
      src = source(src, name)
      n = count(src, n, name)
      dst = target(dst, n, name)
      no_overlap(src, n, dst, name)
      if type(t) == "number" then
        f[src.dtype](src.ptr, n, dst.ptr, t)
        return
      end
      if type(t) ~= "cdata" then
        bad("%%s: the value to compare with must be a number or a view, not %%s", name, show(t))
      end
      t = operand(t, n, name, "the value to compare with")
      same_type(src, t, name, "the value to compare with")
      no_overlap(t, n, dst, name, nil, nil, "the value to compare with")
      each[src.dtype](%s.ptr, n, dst.ptr, %s.ptr)
    end]]):format(row[3] and "t" or "src", row[3] and "src" or "t"), "=lsio.k"))(by_type(name),
    by_type(row[2]), source, operand, count, mask_target, same_type, no_overlap, bad, util.show, name)
end

do
  local f = by_type "between"
  -- lo <= x <= hi
  function k.between(src, n, dst, lo, hi)
    src = source(src, "between")
    n = count(src, n, "between")
    dst = mask_target(dst, n, "between")
    no_overlap(src, n, dst, "between")
    f[src.dtype](src.ptr, n, dst.ptr, number(lo, "between", "lo"), number(hi, "between", "hi"))
  end
end

do
  local f = K.count_ge[1]
  -- How many are true.
  function k.count(mask, n)
    mask = mask_source(mask, "count", "mask")
    return (f(mask.ptr, count(mask, n, "count"), 1))
  end
end

for _, name in ipairs { "band", "bor" } do
  k[name] = assert(loadstring([[
    local f, source, operand, count, target, no_overlap, name = ...
    return function(a, n, dst, b)
      a = source(a, name, "a")
      n = count(a, n, name)
      dst = target(dst, n, name)
      b = source(operand(b, n, name, "b"), name, "b")
      no_overlap(a, n, dst, name, nil, nil, "a")
      no_overlap(b, n, dst, name, nil, nil, "b")
      f(a.ptr, n, dst.ptr, b.ptr)
    end]], "=lsio.k"))(K[name], mask_source, operand, count, mask_target, no_overlap, name)
end

do
  local f = K.bnot
  function k.bnot(src, n, dst)
    src = mask_source(src, "bnot")
    n = count(src, n, "bnot")
    dst = mask_target(dst, n, "bnot")
    no_overlap(src, n, dst, "bnot")
    f(src.ptr, n, dst.ptr)
  end
end

do
  local f, fill = K.where, by_type "fill"
  -- A number stands for as many elements as are wanted: it becomes one of dst's type, in its cell.
  local function choice(x, n, dst, what, cell)
    if type(x) == "number" then
      fill[dst.dtype](cell, 1, x)
      return cell, true
    end
    if type(x) ~= "cdata" then bad("where: %s must be a number or a view, not %s", what, util.show(x)) end
    x = operand(x, n, "where", what)
    same_type(x, dst, "where", nil, what)
    no_overlap(x, n, dst, "where", nil, nil, what)
    return x.ptr, false
  end
  -- dst[i] = mask[i] is true ? a[i] : b[i]; a and b are views of dst's type, or numbers.
  function k.where(mask, n, dst, a, b)
    mask = mask_source(mask, "where", "mask")
    n = count(mask, n, "where")
    dst = target(dst, n, "where")
    no_overlap(mask, n, dst, "where", nil, nil, "mask")
    local cell = cells[dst.dtype]
    local pa, one_a = choice(a, n, dst, "a", cell)
    local pb, one_b = choice(b, n, dst, "b", cell + 1)
    f(mask.ptr, n, dst.ptr, size[dst.dtype], pa, one_a, pb, one_b)
  end
end

return k
