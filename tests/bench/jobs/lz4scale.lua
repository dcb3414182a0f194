-- float32 * 2 + 1 from lz4 frames of 256 KiB, one frame a range, into an array of the caller's. Words after
-- the script: the objects.
local lsio = require "lsio"
local common = require "common"

return lsio.job {
  params = { ranges = common.ranges_param, elements = { 0, "of all frames together" } },
  source = common.ranges,
  type = "f32",
  codec = "lz4",
  decoded = "256KiB",
  sink = function(params) return lsio.memory { type = "f32", shape = { params.elements } } end,
  transform = function(chunk) lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 2, 1) end,
}
