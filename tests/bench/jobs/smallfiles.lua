-- Statistics of float32 over many files, each read whole. Words after the script: patterns.
local lsio = require "lsio"

return lsio.job {
  source = function(params)
    local patterns = {}
    for i = 1, #params do patterns[i] = params[i] end
    return lsio.files(patterns, { whole = true })
  end,
  type = "f32",
  state = "double sum, n, above, low, high;",
  transform = function(chunk, state)
    local sum, low, high, above = lsio.k.stats(chunk.data, chunk.n, 0.5)
    state.sum = state.sum + sum
    state.above = state.above + above
    state.n = state.n + chunk.n
    if low < state.low then state.low = low end
    if high > state.high then state.high = high end
  end,
  reduce = { sum = "sum", n = "sum", above = "sum", low = "min", high = "max" },
}
