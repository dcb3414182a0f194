-- Reads a list of ranges and looks at the first word of each: what the reads themselves cost.
-- Words after the script: the objects.
local lsio = require "lsio"

return lsio.job {
  params = { ranges = { "", "int64 .npy of shape (N,3): object, offset, length" } },
  source = function(params)
    local objects = {}
    for i = 1, #params do objects[i] = params[i] end
    return lsio.ranges { file = params.ranges, objects = objects }
  end,
  type = "u32",
  state = "double words, n;",
  transform = function(chunk, state)
    state.words = state.words + chunk.data[0]
    state.n = state.n + 1
  end,
  reduce = { words = "sum", n = "sum" },
}
