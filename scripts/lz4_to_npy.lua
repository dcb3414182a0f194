-- Decodes lz4-compressed float32 files into one npy file. Without a transform a step's elements go
-- to the sink as they are; they stand in the order of the files' names.
--   lsio-lua scripts/lz4_to_npy.lua 'data/*.f32.lz4' decoded.npy
local lsio = require "lsio"

return lsio.job {
  source = function(params) return lsio.files(params[1] or "data/*.f32.lz4", { whole = true }) end,
  type   = "f32",
  codec  = "lz4",
  sink   = function(params) return lsio.npy(params[2] or "decoded.npy") end,
}
