-- Where the extremes are, part of lsio.k: argmin, argmax, topk.
local kernel = require "lsio.kernel"

local bad, cells, exact, by_type = kernel.bad, kernel.cells, kernel.exact, kernel.by_type
local source, target, count, whole = kernel.source, kernel.target, kernel.count, kernel.whole
local same_type, no_overlap = kernel.same_type, kernel.no_overlap

local k = {}

for _, name in ipairs { "argmin", "argmax" } do
  k[name] = assert(loadstring([[
    local f, cells, source, count, exact, name = ...
    return function(src, n)
      src = source(src, name)
      local cell = cells[src.dtype]
      local index = f[src.dtype](src.ptr, count(src, n, name), cell)
      if index < 0 then return nil end
      return index, exact(cell[0])
    end]], "=lsio.k"))(by_type(name), cells, source, count, exact, name)
end

do
  local f = by_type "topk"
  local cast = kernel.by_types "cast"
  -- The greatest elements to values, the greatest first, and where they are to indices (0-based; any
  -- type of 8 bytes). Returns how many: less than `most` when there are less that are not NaN.
  function k.topk(src, n, most, values, indices)
    src = source(src, "topk")
    n = count(src, n, "topk")
    whole(most, 0, nil, "topk", "k")
    values = target(values, most, "topk", "values")
    same_type(src, values, "topk", "values")
    indices = target(indices, most, "topk", "indices")
    local id = indices.dtype
    if id ~= 6 and id ~= 7 and id ~= 9 then
      bad("topk: indices is %s, not i64, u64 or f64", indices.type)
    end
    no_overlap(src, n, values, "topk", most, "values")
    no_overlap(src, n, indices, "topk", most, "indices")
    no_overlap(values, most, indices, "topk", most, "indices", "values")
    local found = f[src.dtype](src.ptr, n, most, values.ptr, indices.ptr)
    if id == 9 then cast[6][9](indices.ptr, found, indices.ptr) end
    return found
  end
end

return k
