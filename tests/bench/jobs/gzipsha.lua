-- SHA-256 of gzip files, decoded by pieces. Words after the script: the files.
local common = require "common"

return common.sha { codec = "gzip" }
