-- The way to C: the types of core/seams/step.h, core/kernels/kernels.h and lua/host/abi.h, one table of
-- function pointers, and errors that keep their code. init() is called once per state, before anything else.
-- The table of kernels, half of all that is declared, is declared when the first kernel is asked for.
local ffi = require "ffi"

local M = {
  -- enum lsio_err of core/lsio.h; the values never change
  USAGE = -2, SCRIPT = -3, SOURCE = -4, IO = -5, OUTPUT = -6, TRANSFORM = -7, CORRUPT = -8,
  LIMIT = -9, NOMEM = -10,
  PRINT = 10, INFO = 20, -- enum lsio_log_level
}

-- The pointers by their names: the interpreter looks for a field of a C struct through all those before it.
local function functions_of(vt, cdef)
  local out = {}
  for name in cdef:match("struct lsi_vt (%b{})"):gmatch "%(%*([%w_]+)%)" do out[name] = vt[name] end
  return out
end

-- The names of all codecs in order, and by them: which need `decoded`, which take a dictionary.
local function codecs_of(vt)
  local names, sized, dictionary = {}, {}, {}
  for id = 0, math.huge do
    local name = vt.codec_name(id)
    if name == nil then return names, sized, dictionary end
    name = ffi.string(name)
    names[id + 1], sized[name], dictionary[name] = name, vt.codec_is_sized(id), vt.codec_takes_dictionary(id)
  end
end

-- Without pointers (tests that run under a plain luajit) only the types exist.
function M.init(cdef, kernels, vt, err, generator, lua)
  jit.off() -- loading the modules must leave no traces: lsio.host.probe switches it on
  ffi.cdef(cdef)
  M.kernels = kernels
  if vt then
    M.vt = functions_of(ffi.cast("const struct lsi_vt *", vt), cdef)
    M.err = ffi.cast("struct lsi_error *", err)
    M.failed = err -- the error value that means "see M.err": C knows it by its address
    M.lua = ffi.cast("struct lsi_lua *", lua) -- this state, as C knows it
    M.codecs, M.codec_is_sized, M.codec_takes_dictionary = codecs_of(M.vt)
    M.generator = ffi.cast("uint64_t **", generator) -- [0]: of the job that runs now
  end
end

-- May be called again.
function M.declare_kernels()
  if M.kernels then ffi.cdef(M.kernels) end
  M.kernels = nil
end

-- Raises an error with a code other than the one that the call would have by default.
function M.fail(code, text)
  M.vt.fail(M.err, code, text)
  error(M.failed, 0)
end

-- For results of C functions that fill M.err.
function M.check(rc)
  if rc < 0 then error(M.failed, 0) end
  return rc
end

return M
