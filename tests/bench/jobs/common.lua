-- What the jobs share: the words after the script as a list, sources made of it, and statistics.
local lsio = require "lsio"

local M = {}

function M.words(params)
  local out = {}
  for i = 1, #params do out[i] = params[i] end
  return out
end

function M.files(params) return lsio.files(M.words(params), { chunk = params.chunk }) end

function M.ranges(params) return lsio.ranges { file = params.ranges, objects = M.words(params) } end

M.ranges_param = { "", "int64 .npy of shape (N,3): object, offset, length" }

-- Adds sum, least, greatest and the count above 0.5 of float32 to a job.
function M.stats(job)
  job.type = "f32"
  job.state = "double sum, n, above, low, high;"
  job.reduce = { sum = "sum", n = "sum", above = "sum", low = "min", high = "max" }
  function job.transform(chunk, state)
    local sum, low, high, above = lsio.k.stats(chunk.data, chunk.n, 0.5)
    state.sum = state.sum + sum
    state.above = state.above + above
    state.n = state.n + chunk.n
    if low < state.low then state.low = low end
    if high > state.high then state.high = high end
  end
  return lsio.job(job)
end

-- Adds a look at the first word of each chunk to a job: what the reads themselves cost.
function M.touch(job)
  job.type = "u32"
  job.state = "double words, n;"
  job.reduce = { words = "sum", n = "sum" }
  function job.transform(chunk, state)
    state.words = state.words + chunk.data[0]
    state.n = state.n + 1
  end
  return lsio.job(job)
end

return M
