-- Nothing but decoding of zstd files by pieces. Words after the script: the files.
local common = require "common"

return common.ends { codec = "zstd" }
