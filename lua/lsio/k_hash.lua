-- Hashes, part of lsio.k: xxh3_64, sha256, sha256_begin. As text they are hexadecimal digits, as other
-- programs print them; with dst they are numbers or bytes and nothing is allocated.
local ffi = require "ffi"
local core = require "lsio.core"
local kernel = require "lsio.kernel"

local K, bad, size = kernel.K, kernel.bad, kernel.size
local source, target, count = kernel.source, kernel.target, kernel.count
local vt = core.vt

local k = {}

do
  local f = K.xxh3_64
  local cell, text = ffi.new "uint64_t[1]", ffi.new "char[16]"
  local bytes = ffi.cast("const uint8_t *", cell)
  -- 16 digits; with dst (u64) the number goes to dst[0].
  function k.xxh3_64(src, n, dst)
    src = source(src, "xxh3_64")
    n = count(src, n, "xxh3_64")
    if dst ~= nil then
      dst = target(dst, 1, "xxh3_64")
      if dst.dtype ~= 7 then bad("xxh3_64: dst must be u64, not %s", dst.type) end
      f(src.ptr, n * size[src.dtype], dst.ptr)
      return
    end
    f(src.ptr, n * size[src.dtype], cell)
    vt.hex(bytes, 8, true, text)
    return (ffi.string(text, 16))
  end
end

local digest, text = ffi.new "uint8_t[32]", ffi.new "char[64]"

-- What `h` holds: 64 digits, or 32 bytes to dst.
local function result(h, dst, name)
  if dst ~= nil then
    dst = target(dst, 32, name)
    if dst.dtype > 1 then bad("%s: dst must be u8, not %s", name, dst.type) end
    core.check(vt.sha256_digest(h, dst.ptr, core.err))
    return
  end
  core.check(vt.sha256_digest(h, digest, core.err))
  vt.hex(digest, 32, false, text)
  return (ffi.string(text, 64))
end

local function begin()
  local h = vt.sha256_create(core.err)
  if h == nil then error(core.failed, 0) end
  return ffi.gc(h, vt.sha256_free)
end

do
  local own -- one for all calls, made by the first
  function k.sha256(src, n, dst)
    src = source(src, "sha256")
    n = count(src, n, "sha256")
    own = own or begin()
    core.check(vt.sha256_reset(own, core.err))
    core.check(vt.sha256_update(own, src.ptr, n * size[src.dtype], core.err))
    return (result(own, dst, "sha256"))
  end
end

local methods = {}

function methods.update(self, src, n)
  src = source(src, "update")
  n = count(src, n, "update")
  core.check(vt.sha256_update(self.context, src.ptr, n * size[src.dtype], core.err))
end

-- Of what has been added so far; more may follow.
function methods.hex(self) return (result(self.context, nil, "hex")) end

function methods.bytes(self, dst) result(self.context, target(dst, 32, "bytes"), "bytes") end

-- From the beginning, in the same memory.
function methods.reset(self) core.check(vt.sha256_reset(self.context, core.err)) end

local metatable = { __index = methods, __metatable = "lsio.k.sha256" }

-- A hash that grows: h:update(src, n), h:hex(), h:bytes(dst), h:reset().
function k.sha256_begin() return setmetatable({ context = begin() }, metatable) end

return k
