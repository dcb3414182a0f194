-- Statistics of float32 in lz4 frames, one frame a range. Words after the script: the objects.
local common = require "common"

return common.stats { params = { ranges = common.ranges_param }, source = common.ranges, codec = "lz4" }
