-- Statistics of float32 in lz4 frames by pieces, one frame a range. Words after the script: the objects.
local common = require "common"

return common.stats { params = { ranges = common.ranges_param }, source = common.ranges, codec = "lz4",
  piece = "256KiB" }
