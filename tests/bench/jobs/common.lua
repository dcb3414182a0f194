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

-- Whole files by pieces of 1 MiB, decoded where the job has a codec. Words after the script: the files.
local function pieces(job)
  job.source = function(params) return lsio.files(M.words(params), { whole = true }) end
  job.piece = "1MiB"
  return lsio.job(job)
end

-- Adds the SHA-256 of each file to a job, as scripts/manifest.lua does; state: the digits of all, in no order.
function M.sha(job)
  local hash -- a worker's
  function job.state() return { digests = {} } end
  function job.transform(chunk, state)
    hash = hash or lsio.k.sha256_begin()
    if chunk.first then hash:reset() end
    hash:update(chunk.data)
    if chunk.last then state.digests[#state.digests + 1] = hash:hex() end
  end
  job.reduce = { digests = "concat" }
  return pieces(job)
end

-- Adds a look at both ends of each piece to a job: what reading and decoding themselves cost.
function M.ends(job)
  job.state = "double n, words;"
  function job.transform(chunk, state)
    state.n = state.n + chunk.n
    if chunk.n > 0 then state.words = state.words + chunk.data[0] + chunk.data[chunk.n - 1] end
  end
  job.reduce = { n = "sum", words = "sum" }
  return pieces(job)
end

return M
