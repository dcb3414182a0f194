-- Scales int16 samples to float32 and writes them, in request order, to one npy file.
--   lsio-lua scripts/i16_to_f32.lua 'data/*.i16' scaled.npy --scale=0.01 --offset=273.15
local lsio = require "lsio"

return lsio.job {
  source    = function(params) return lsio.files(params[1] or "data/*.i16", { chunk = "1MiB" }) end,
  type      = "i16",
  params    = { scale = { 1 / 32768, "multiply by this" }, offset = { 0.0, "then add this" } },
  transform = function(chunk, state, params)
    lsio.k.scale_offset(chunk.data, nil, chunk.out, params.scale, params.offset)
  end,
  sink      = function(params) return lsio.npy(params[2] or "scaled.npy", { type = "f32" }) end,
}
