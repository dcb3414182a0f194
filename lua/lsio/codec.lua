-- lsio.codec: decoders as functions, for data inside of chunks. `lsio.codec.zstd(src, n, dst)` decodes
-- n elements of src into dst, never more than dst holds, and returns how many bytes it wrote.
local ffi = require "ffi"
local core = require "lsio.core"
local util = require "lsio.util"
local view = require "lsio.view"

local M = {}

local function of(x, what)
  if type(x) == "cdata" and (view.is_ro(x) or view.is_rw(x)) then return x end
  local v, why = view.of_array(x)
  if not v then error(("%s: %s"):format(what, why), 0) end
  return v
end

for i = 2, #core.codecs do -- all but none
  local name = core.codecs[i]
  local id = core.vt.codec(name)
  local who = "lsio.codec." .. name
  M[name] = function(src, n, dst)
    src, dst = of(src, who), of(dst, who)
    if n == nil then n = src.n end
    if not util.whole(n, 0, src.n) then
      error(("%s: n is %s, not a whole number from 0 to %.0f"):format(who, util.show(n), src.n), 0)
    end
    if view.is_ro(dst) then error(who .. ": dst is read-only; write to chunk.out or chunk.scratch", 0) end
    local written = core.vt.decode(id, src.ptr, n * view.types[src.dtype].size, dst.ptr,
      dst.n * view.types[dst.dtype].size)
    if written < 0 then error(("%s: %s"):format(who, ffi.string(core.vt.error_text(written))), 0) end
    return written
  end
end

return M
