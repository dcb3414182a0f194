-- CRC-32C and size of what each blosc file holds, a line each, sorted by name. Files may hold more than
-- fits in memory: they are decoded in pieces of 256 KiB, and `crc` goes from one piece to the next.
--   lsio-lua scripts/blosc_crc.lua data/*.blosc
local lsio = require "lsio"
local crc, size -- of the chunk in hand: all pieces of one come to the same worker, one after the other

return lsio.job {
  source    = function(params) return lsio.files(params, { whole = true }) end,
  type      = "u8",
  codec     = "blosc",
  piece     = "256KiB",
  state     = function() return { lines = {} } end,
  transform = function(chunk, state)
    if chunk.first then crc, size = 0, 0 end
    crc, size = lsio.k.crc32c(chunk.data, nil, crc), size + chunk.n
    if chunk.last then
      table.insert(state.lines, string.format("%s %08x %.0f", chunk.name, crc, size))
    end
  end,
  reduce    = { lines = "concat" },
  done      = function(r)
    table.sort(r.lines)
    for _, line in ipairs(r.lines) do print(line) end
  end,
}
