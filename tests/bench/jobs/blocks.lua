-- Reads whole files in chunks and looks at the first word of each.
local lsio = require "lsio"

return lsio.job {
  params = { chunk = { "256KiB", "size of a chunk" } },
  source = function(params)
    local paths = {}
    for i = 1, #params do paths[i] = params[i] end
    return lsio.files(paths, { chunk = params.chunk })
  end,
  type = "u32",
  state = "double words, n;",
  transform = function(chunk, state)
    state.words = state.words + chunk.data[0]
    state.n = state.n + 1
  end,
  reduce = { words = "sum", n = "sum" },
}
