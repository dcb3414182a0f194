-- The Lua modules without the library: their C types, no C functions. Specs `require "support"` first.
local ffi = require "ffi"

-- busted replaces parts of the FFI library by functions that remember results by the declaration's text
-- alone, so that typeof("$ *", x) gives the same type whatever x is. The originals are their upvalues.
for name, f in pairs(ffi) do
  local i = type(f) == "function" and debug.getinfo(f, "S").what ~= "C" and 1
  while i do
    local upvalue, value = debug.getupvalue(f, i)
    if upvalue == "original" then ffi[name] = value end
    i = upvalue and upvalue ~= "original" and i + 1
  end
end

local core = require "lsio.core"

local root = os.getenv "LSIO_SOURCE_DIR" or "."

local function read(path)
  local handle = assert(io.open(root .. "/" .. path, "r"))
  local text = handle:read "*a"
  handle:close()
  return text
end

-- What lua/host/embed.cmake makes of the headers.
local function cdef()
  local kernels = read("core/kernels/kernels.h"):match "/%* cdef begin %*/(.-)/%* cdef end %*/"
  local text = "\n" .. read "core/seams/step.h" .. "\n" .. kernels .. "\n" .. read "lua/host/abi.h"
  return (text:gsub("\n#[^\n]*", "\n"):gsub("\n#[^\n]*", "\n"))
end

if not pcall(ffi.typeof, "lsi_step") then -- once a process, also when busted clears package.loaded
  core.init(cdef())
  if os.getenv "LSIO_JIT" ~= "off" then jit.on() end
end

local M = {}

-- Raises what a module's `fail` gets, without a position.
function M.fail(text) error(text, 0) end

-- The message of an error that must come.
function M.message(f, ...)
  local ok, text = pcall(f, ...)
  assert(not ok, "no error came")
  return text
end

return M
