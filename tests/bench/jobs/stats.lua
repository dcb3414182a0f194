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
    local sum, low, high, above = lsio.k.stats(chunk.data, chunk.n, params.threshold)
    state.sum = state.sum + sum
    state.above = state.above + above
    state.n = state.n + chunk.n
    if low < state.low then state.low = low end
    if high > state.high then state.high = high end
  end,
  reduce = { sum = "sum", n = "sum", above = "sum", low = "min", high = "max" },
}
