-- Reads whole files in chunks. Words after the script: the files.
local common = require "common"

return common.touch { params = { chunk = { "256KiB", "size of a chunk" } }, source = common.files }
