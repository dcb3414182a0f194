-- Sum, minimum, maximum and count above a threshold of float32 files in 256 KiB chunks.
local lsio = require "lsio"

return lsio.job {
  params = { threshold = { 0.5, "count values above this" }, chunk = { "256KiB", "chunk size" } },
  source = function(params)
    local paths = {}
    for i = 1, #params do paths[i] = params[i] end
    return lsio.files(paths, { chunk = params.chunk })
  end,
  type = "f32",
  state = "double sum, n, above, low, high;",
  transform = function(chunk, state, params)
    local data, n = chunk.data, chunk.n
    local low, high = lsio.k.minmax(data, n)
    state.sum = state.sum + lsio.k.sum(data, n)
    state.above = state.above + lsio.k.count_gt(data, n, params.threshold)
    state.n = state.n + n
    if low < state.low then state.low = low end
    if high > state.high then state.high = high end
  end,
  reduce = { sum = "sum", n = "sum", above = "sum", low = "min", high = "max" },
}
