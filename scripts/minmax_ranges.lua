-- Least and greatest value of each byte range that a CSV file lists (path,offset,length,tag).
--   lsio-lua scripts/minmax_ranges.lua ranges.csv
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.ranges { file = params[1] or "ranges.csv" } end,
  type      = "f32",
  state     = function() return { rows = {} } end,
  transform = function(chunk, state)
    local min, max = lsio.k.minmax(chunk.data)
    table.insert(state.rows, { index = chunk.index, tag = chunk.tag, min = min, max = max })
  end,
  reduce    = { rows = "concat" },
  done      = function(r)
    table.sort(r.rows, function(a, b) return a.index < b.index end)
    for _, row in ipairs(r.rows) do
      print(string.format("%d,%.9g,%.9g", row.tag, row.min, row.max))
    end
  end,
}
