-- Ranges placed in an npy file, for the memory row: a job whose output is as large as its input.
local lsio = require "lsio"

return lsio.job {
  params = { ranges = { "", "int64 .npy of shape (N,3)" }, output = { "", "where the result goes" } },
  source = function(params)
    local objects = {}
    for i = 1, #params do objects[i] = params[i] end
    return lsio.ranges { file = params.ranges, objects = objects }
  end,
  type = "f32",
  sink = function(params) return lsio.npy(params.output, { exists = "replace" }) end,
}
