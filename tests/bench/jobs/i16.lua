-- int16 to float32 / 1024, into an array of the caller's. Words after the script: the files.
local lsio = require "lsio"
local common = require "common"

return lsio.job {
  params = { chunk = { "256KiB", "size of a chunk" } },
  source = common.files,
  type = "i16",
  sink = lsio.memory { type = "f32" },
  transform = function(chunk) lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 1 / 1024, 0) end,
}
