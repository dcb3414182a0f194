-- Ranges placed in an npy file, for the memory row: a job whose output is as large as its input.
local lsio = require "lsio"
local common = require "common"

return lsio.job {
  params = { ranges = common.ranges_param, output = { "", "where the result goes" } },
  source = common.ranges,
  type = "f32",
  sink = function(params) return lsio.npy(params.output, { exists = "replace" }) end,
}
