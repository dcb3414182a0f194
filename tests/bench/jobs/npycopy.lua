-- float32 of files, one after the other, in an npy file. Words after the script: the files.
local lsio = require "lsio"
local common = require "common"

return lsio.job {
  params = { chunk = { "256KiB", "size of a chunk" }, output = { "", "where the result goes" } },
  source = common.files,
  type = "f32",
  sink = function(params) return lsio.npy(params.output, { exists = "replace" }) end,
}
