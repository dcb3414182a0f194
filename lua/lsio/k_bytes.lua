-- Bytes, part of lsio.k: find, count_bytes, crc32c.
local ffi = require "ffi"
local kernel = require "lsio.kernel"
local util = require "lsio.util"

local type = type
local K, bad, size = kernel.K, kernel.bad, kernel.size
local source, count, number = kernel.source, kernel.count, kernel.number

local k = {}

local function bytes_of(src, name)
  if src.dtype > 1 then bad("%s: src is %s; it searches bytes (u8 or i8)", name, src.type) end
end

do
  local f = K.find
  local byte_pointer = ffi.typeof "const uint8_t *"
  -- 0-based position of the first occurrence of the string at or after `from` (default 0), or nil.
  function k.find(src, n, needle, from)
    src = source(src, "find")
    n = count(src, n, "find")
    bytes_of(src, "find")
    if type(needle) ~= "string" then bad("find: the needle must be a string, not %s", util.show(needle)) end
    from = from or 0
    if not util.whole(from, 0, n) then
      bad("find: from is %s, not a whole number from 0 to %.0f", util.show(from), n)
    end
    local at = f(ffi.cast(byte_pointer, src.ptr) + from, n - from, needle, #needle)
    if at < 0 then return nil end
    return from + at
  end
end

do
  local f = K.count_bytes
  function k.count_bytes(src, n, needle)
    src = source(src, "count_bytes")
    n = count(src, n, "count_bytes")
    bytes_of(src, "count_bytes")
    if type(needle) ~= "string" then
      bad("count_bytes: the needle must be a string, not %s", util.show(needle))
    end
    return (f(src.ptr, n, needle, #needle))
  end
end

do
  local f = K.crc32c
  -- Of the n elements' bytes; pass the last result as `crc` to go on.
  function k.crc32c(src, n, crc)
    src = source(src, "crc32c")
    n = count(src, n, "crc32c")
    return (f(crc == nil and 0 or number(crc, "crc32c", "crc"), src.ptr, n * size[src.dtype]))
  end
end

return k
