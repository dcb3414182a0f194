-- Statistics of float32 in zstd frames by pieces, one frame a range. Words after the script: the objects.
local common = require "common"

return common.stats { params = { ranges = common.ranges_param }, source = common.ranges, codec = "zstd",
  piece = "256KiB" }
