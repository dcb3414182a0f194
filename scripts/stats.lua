-- Statistics and a threshold count over lz4-compressed float32 files.
--   lsio-lua scripts/stats.lua data/*.f32.lz4 --threshold=0.9
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params, { whole = true }) end,
  type      = "f32",
  codec     = "lz4",
  params    = { threshold = { 0.5, "count values above this" } },
  state     = "lsio_moments m; double min, max, above;",
  transform = function(chunk, state, params)
    lsio.k.moments(chunk.data, nil, state.m)
    local min, max = lsio.k.minmax(chunk.data)
    state.min   = math.min(state.min, min)
    state.max   = math.max(state.max, max)
    state.above = state.above + lsio.k.count_gt(chunk.data, nil, params.threshold)
  end,
  reduce    = { m = "moments", min = "min", max = "max", above = "sum" },
  done      = function(r)
    print(string.format("n %.0f  mean %.6f  sd %.6f  min %.9g  max %.9g  above %.0f", r.m.n,
                        r.m.mean, math.sqrt(r.m.m2 / r.m.n), r.min, r.max, r.above))
  end,
}
