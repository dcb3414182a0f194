-- The statistics of stats.lua on lz4 frames, one frame a range. Words after the script: the objects.
local lsio = require "lsio"

return lsio.job {
  params = {
    ranges = { "", "int64 .npy of shape (N,3): object, offset, length" },
    threshold = { 0.5, "count values above this" },
  },
  source = function(params)
    local objects = {}
    for i = 1, #params do objects[i] = params[i] end
    return lsio.ranges { file = params.ranges, objects = objects }
  end,
  type = "f32",
  codec = "lz4",
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
