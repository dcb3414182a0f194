-- CRC-32C (Castagnoli) and size of every file, a line each, sorted by name.
--   lsio-lua scripts/crc_manifest.lua data/*
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params, { whole = true }) end,
  type      = "u8",
  state     = function() return { lines = {} } end,
  transform = function(chunk, state)
    local crc = lsio.k.crc32c(chunk.data)
    table.insert(state.lines, string.format("%s %08x %.0f", chunk.name, crc, chunk.n))
  end,
  reduce    = { lines = "concat" },
  done      = function(r)
    table.sort(r.lines)
    for _, line in ipairs(r.lines) do print(line) end
  end,
}
