-- y = x > 0.5 ? 1.5 x - 0.25 : 0.5 x + 0.25 of float32, and the histogram of y. Words after the script: the
-- files. A chunk and the vectors made of it stay in the second-level cache.
local lsio = require "lsio"
local common = require "common"
local k = lsio.k

return lsio.job {
  params = { chunk = { "64KiB", "size of a chunk" } },
  source = common.files,
  type = "f32",
  state = "double counts[256];",
  init = function(state, worker, params)
    local n = 65536 / 4
    params.mask, params.low, params.high = k.array("u8", n), k.array("f32", n), k.array("f32", n)
  end,
  transform = function(chunk, state, p)
    local x, n = chunk.data, chunk.n
    k.gt(x, n, p.mask, 0.5)
    k.scale_offset(x, n, p.low, 0.5, 0.25)
    k.scale_offset(x, n, p.high, 1.5, -0.25)
    k.where(p.mask, n, p.low, p.high, p.low)
    k.histogram(p.low, n, -2, 2, 256, state.counts)
  end,
  reduce = { counts = "sum" },
  done = function(r)
    local n, weighted = 0, 0
    for i = 0, 255 do n, weighted = n + r.counts[i], weighted + r.counts[i] * i end
    print(("%.17g %.17g"):format(n, weighted))
  end,
}
