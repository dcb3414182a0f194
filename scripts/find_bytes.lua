-- Looks for a string of bytes in files: how often it occurs, and where first, a line for each file.
--   lsio-lua scripts/find_bytes.lua logs/*.log --needle='connection reset'
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params, { whole = true }) end,
  type      = "u8",
  params    = { needle = { "error", "the bytes to look for" } },
  state     = function() return { hits = {} } end,
  transform = function(chunk, state, params)
    local first = lsio.k.find(chunk.data, nil, params.needle)
    if not first then return end
    local count = lsio.k.count_bytes(chunk.data, nil, params.needle)
    table.insert(state.hits, { name = chunk.name, first = first, count = count })
  end,
  reduce    = { hits = "concat" },
  done      = function(r)
    table.sort(r.hits, function(a, b) return a.name < b.name end)
    for _, hit in ipairs(r.hits) do
      print(string.format("%s: %.0f, first at byte %.0f", hit.name, hit.count, hit.first))
    end
  end,
}
