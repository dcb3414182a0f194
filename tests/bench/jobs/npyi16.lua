-- int16 of files as float32 / 1024 in an npy file. Words after the script: the files.
local lsio = require "lsio"
local common = require "common"

return lsio.job {
  params = { chunk = { "256KiB", "size of a chunk" }, output = { "", "where the result goes" } },
  source = common.files,
  type = "i16",
  sink = function(params) return lsio.npy(params.output, { type = "f32", exists = "replace" }) end,
  transform = function(chunk) lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 1 / 1024, 0) end,
}
