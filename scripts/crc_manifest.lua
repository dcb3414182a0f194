-- CRC-32C (Castagnoli) and size of every file, a line each, sorted by name.
--   lsio-lua scripts/crc_manifest.lua data/*
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params, { whole = true }) end,
  type      = "u8",
  piece     = "1MiB", -- of what is larger
  state     = function() return { lines = {}, crc = 0 } end,
  transform = function(chunk, state)
    state.crc = lsio.k.crc32c(chunk.data, nil, chunk.first and 0 or state.crc)
    if not chunk.last then return end
    table.insert(state.lines, string.format("%s %08x %.0f", chunk.name, state.crc, chunk.length))
  end,
  finish    = function(state) return { lines = state.lines } end,
  reduce    = { lines = "concat" },
  done      = function(r)
    table.sort(r.lines)
    for _, line in ipairs(r.lines) do print(line) end
  end,
}
