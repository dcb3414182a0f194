-- SHA-256 of zstd files, decoded by pieces. Words after the script: the files.
local common = require "common"

return common.sha { codec = "zstd" }
