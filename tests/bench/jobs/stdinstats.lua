-- Statistics of float32 from standard input, 1 MiB at a time.
local lsio = require "lsio"
local common = require "common"

return common.stats { source = lsio.stdin { chunk = "1MiB" } }
