-- lsio.k: the vector kernels. Each is loaded with its neighbours when it is first asked for: to make them all
-- takes as long as all else that opens a state.
local core = require "lsio.core"
local new = require "table.new"

if core.vt.kernels() == nil then
  error("this processor is too old for LSIO's kernels (SSE4.2 is needed)", 0)
end

local parts = {
  k_bytes = "find count_bytes crc32c",
  k_group = "group_sum group_count",
  k_hash = "xxh3_64 sha256 sha256_begin",
  k_map = "array scale_offset cast byteswap clip fill fill_sentinel fill_nan flip copy",
  k_mask = "gt ge lt le eq ne between count band bor bnot where",
  k_order = "delta undelta transpose shuffle unshuffle copy_strided",
  k_pair = "add sub mul div add_valid",
  k_reduce = "sum sum_i64 min max minmax sum_minmax stats moments histogram "
    .. "count_gt count_ge count_lt count_le count_eq count_between",
  k_select = "argmin argmax topk",
}
local part_of, names = {}, {}
for part, words in pairs(parts) do
  for name in words:gmatch "%S+" do
    part_of[name] = "lsio." .. part
    names[#names + 1] = name
  end
end
table.sort(names)

local k = new(0, 2 * #names) -- machine code looks at a function's place: those that come later move none

-- Loading a module must leave no traces.
local function load_part(part)
  local on = jit.status()
  jit.off()
  local ok, functions = pcall(require, part)
  if on then jit.on() end
  if not ok then error(functions, 0) end
  for name, f in pairs(functions) do k[name] = f end
end
jit.off(load_part)

return setmetatable(k, {
  names = names,
  __index = function(_, name)
    if part_of[name] then load_part(part_of[name]) end
    return rawget(k, name)
  end,
})
