-- Reads a list of ranges. Words after the script: the objects.
local common = require "common"

return common.touch { params = { ranges = common.ranges_param }, source = common.ranges }
