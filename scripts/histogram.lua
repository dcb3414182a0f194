-- A histogram of float32 files, 32 bins between --lo and --hi, drawn with a bar for each bin.
--   lsio-lua scripts/histogram.lua data/*.f32 --lo=-4 --hi=4
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params, { chunk = "256KiB" }) end,
  type      = "f32",
  params    = { lo = { 0.0, "left edge of the first bin" }, hi = { 1.0, "right edge of the last" } },
  state     = "double counts[32]; double n;",
  transform = function(chunk, state, params)
    lsio.k.histogram(chunk.data, nil, params.lo, params.hi, 32, state.counts)
    state.n = state.n + chunk.n
  end,
  finish    = function(state, params) -- the edges are wanted in done, which has no params
    local counts = {}
    for i = 0, 31 do counts[i + 1] = state.counts[i] end
    return { counts = counts, n = state.n, lo = params.lo, width = (params.hi - params.lo) / 32 }
  end,
  reduce    = function(a, b)
    for i, count in ipairs(b.counts) do a.counts[i] = a.counts[i] + count end
    a.n = a.n + b.n
    return a
  end,
  done      = function(r)
    local most, inside = math.max(1, unpack(r.counts)), 0
    for i, count in ipairs(r.counts) do
      inside = inside + count
      print(string.format("%10.4g %12.0f %s", r.lo + (i - 1) * r.width, count,
                          string.rep("#", math.floor(40 * count / most))))
    end
    print(string.format("%.0f values, %.0f of them outside", r.n, r.n - inside))
  end,
}
