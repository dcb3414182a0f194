-- Sums and counts by key, part of lsio.k: group_sum, group_count.
local kernel = require "lsio.kernel"

local K, bad = kernel.K, kernel.bad
local source, target, operand, count = kernel.source, kernel.target, kernel.operand, kernel.count
local whole, no_overlap = kernel.whole, kernel.no_overlap

local k = {}

local function integer_keys(keys, name)
  if keys.dtype > 7 then bad("%s: keys is %s; a key is an integer", name, keys.type) end
end

do
  local f = K.group_sum
  -- sums[keys[i]] += values[i]; returns how many keys are outside [0, groups), which are left out.
  function k.group_sum(values, n, keys, groups, sums)
    values = source(values, "group_sum", "values")
    n = count(values, n, "group_sum")
    keys = operand(keys, n, "group_sum", "keys")
    integer_keys(keys, "group_sum")
    whole(groups, 1, 2147483647, "group_sum", "groups")
    sums = target(sums, groups, "group_sum", "sums")
    if sums.dtype ~= 9 then bad("group_sum: sums must be f64, not %s", sums.type) end
    no_overlap(values, n, sums, "group_sum", groups, "sums", "values")
    no_overlap(keys, n, sums, "group_sum", groups, "sums", "keys")
    return (f(values.ptr, n, values.dtype, keys.ptr, keys.dtype, groups, sums.ptr))
  end
end

do
  local f = K.group_count
  -- counts[keys[i]] += 1; returns how many keys are outside [0, groups).
  function k.group_count(keys, n, groups, counts)
    keys = source(keys, "group_count", "keys")
    n = count(keys, n, "group_count")
    integer_keys(keys, "group_count")
    whole(groups, 1, 2147483647, "group_count", "groups")
    counts = target(counts, groups, "group_count", "counts")
    if counts.dtype ~= 9 then bad("group_count: counts must be f64, not %s", counts.type) end
    no_overlap(keys, n, counts, "group_count", groups, "counts", "keys")
    return (f(keys.ptr, n, keys.dtype, groups, counts.ptr))
  end
end

return k
