-- Statistics of float32 files in chunks. Words after the script: the files.
local common = require "common"

return common.stats { params = { chunk = { "256KiB", "size of a chunk" } }, source = common.files }
