-- Statistics of float32 in blosc frames by pieces, one frame a range. Words after the script: the objects.
local common = require "common"

return common.stats { params = { ranges = common.ranges_param }, source = common.ranges, codec = "blosc",
  piece = "256KiB" }
