-- Looks for bytes in files of any size: how often they occur, and where first, a line for each file.
--   lsio-lua scripts/find_bytes.lua logs/*.log --needle='connection reset'
local lsio = require "lsio"
local joint, held -- `held` bytes of a piece's end that may begin a hit, and the next one's beginning
local seen, count, first -- of the file in hand: bytes of earlier pieces, hits so far, where the first one is

local function hit(at) count, first = count + 1, first or at end

return lsio.job {
  params    = { needle = { "error", "the bytes to look for" } },
  source    = function(params)
    assert(params.needle ~= "", "--needle is empty: write the bytes to look for")
    return lsio.files(params, { whole = true })
  end,
  piece     = "1MiB", -- of files that are larger; longer than any needle
  state     = function() return { hits = {} } end,
  transform = function(chunk, state, params)
    local needle, length, n = params.needle, #params.needle, chunk.n
    if chunk.first then joint, held, seen, count, first = lsio.k.array("u8", 2 * length), 0, 0, 0, nil end
    local head = math.min(n, length - 1)
    for i = 0, head - 1 do joint[held + i] = chunk.data[i] end
    local across = lsio.k.find(joint, held + head, needle) -- it begins in the piece before
    if across then hit(seen - held + across) end
    local from = across and across + length - held or 0
    local at = lsio.k.find(chunk.data, n, needle, from)
    while at do
      hit(seen + at) from = at + length
      at = lsio.k.find(chunk.data, n, needle, from)
    end
    held, seen = math.min(length - 1, n - from), seen + n
    for i = 0, held - 1 do joint[i] = chunk.data[n - held + i] end
    if not chunk.last or not first then return end
    table.insert(state.hits, { name = chunk.name, first = first, count = count })
  end,
  reduce    = { hits = "concat" },
  done      = function(r)
    table.sort(r.hits, function(a, b) return a.name < b.name end)
    for _, f in ipairs(r.hits) do print(("%s: %.0f, first at byte %.0f"):format(f.name, f.count, f.first)) end
  end,
}
