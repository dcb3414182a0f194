-- Statistics of float32 over many files, each read whole. Words after the script: patterns.
local lsio = require "lsio"
local common = require "common"

return common.stats { source = function(params) return lsio.files(common.words(params), { whole = true }) end }
