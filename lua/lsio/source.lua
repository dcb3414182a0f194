-- Sources: inert descriptions, made at file level in every state. describe() hands one over in the
-- coordinator only: C opens it when Lua has returned. What is as long as the request lies in C's arrays.
local core = require "lsio.core"
local util = require "lsio.util"

local M = {}

local SOURCE = { __name = "source" }

function M.is(v) return type(v) == "table" and getmetatable(v) == SOURCE end

local TO_END = -1 -- as a length: up to the object's end

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- A size in an option: bytes as a number, or text like "256KiB".
local function size(v, what, least)
  local n = v
  if type(v) == "string" then n = core.vt.size(v) end
  if not util.whole(n, least, 2 ^ 53) then
    fail('%s must be a size such as 65536 or "256KiB", not %s', what, util.show(v))
  end
  return n
end
M.size = size

-- A size that may be negative too: -4096, "-4KiB".
local function signed_size(v, what)
  local behind_sign = type(v) == "string" and v:match "^%-(.*)"
  local n = behind_sign and -core.vt.size(behind_sign) or v
  if util.whole(n, -2 ^ 53, 0) then return n end
  return size(v, what, 0)
end

local function fail_text(text) fail("%s", text) end

-- What becomes of objects that are not there, and of those that change while they are read: enum lsi_missing.
local missing_kinds = { error = 0, skip = 1, fill = 2 }
local changing_kinds = { error = false, append = true }

local function one_of(v, kinds, key, who)
  if v == nil then return nil end
  if type(v) ~= "string" then
    fail("%s: %s must be one of %s, not %s", who, key, table.concat(util.keys(kinds), ", "), util.show(v))
  end
  if kinds[v] == nil then fail("%s: %s", who, util.unknown(key, v, util.keys(kinds))) end
  return kinds[v]
end

local function check_absent(options, out, who)
  out.missing = one_of(options.missing, missing_kinds, "missing", who)
  out.may_grow = one_of(options.changing, changing_kinds, "changing", who)
end

local file_options = { chunk = true, offset = true, length = true, whole = true, missing = true,
  changing = true }
local list_options = { chunk = true, offset = true, length = true, whole = true, missing = true,
  changing = true, nul = true }

local function check_files(options, who, valid)
  if options ~= nil and type(options) ~= "table" then
    fail("%s: options must be a table such as { chunk = \"256KiB\" }, not %s", who, util.show(options))
  end
  local out = {}
  options = options or {}
  util.only_keys(options, valid, "option of " .. who, fail_text)
  if options.chunk ~= nil then out.chunk = size(options.chunk, who .. ": chunk", 1) end
  out.offset = options.offset ~= nil and signed_size(options.offset, who .. ": offset") or 0
  if options.length ~= nil and options.length ~= TO_END then
    out.length = size(options.length, who .. ": length", 0)
  end
  if options.whole ~= nil and type(options.whole) ~= "boolean" then
    fail("%s: whole must be true or false, not %s", who, util.show(options.whole))
  end
  out.whole = options.whole
  check_absent(options, out, who)
  if out.whole and out.chunk then fail("%s: give either chunk or whole = true", who) end
  return out
end

-- What a job's source and sink are called with: words, which may be paths, beside names.
local of_params = setmetatable({}, { __mode = "k" })
function M.are_params(t) of_params[t] = true end

-- What stands in a list of paths but is none of them would be left out.
local function check_keys(paths, who)
  for key in pairs(paths) do
    if list_options[key] then
      fail("%s: %s stands in the list of paths; options come behind it: ({ PATH, ... }, { %s = ... })", who,
        key, key)
    elseif not util.whole(key, 1, #paths) then
      fail("%s: %s stands in the list of paths, which are numbered from 1 on, without gaps", who,
        type(key) == "string" and key or "[" .. tostring(key) .. "]")
    end
  end
end

local function check_paths(paths, who)
  if type(paths) == "string" then paths = { paths } end
  if type(paths) ~= "table" then
    fail("%s wants a path, a glob or a list of them, not %s", who, util.show(paths))
  end
  if not of_params[paths] then check_keys(paths, who) end
  for i = 1, #paths do
    if type(paths[i]) ~= "string" or paths[i] == "" or paths[i]:find("\0", 1, true) then
      fail("%s: path %d is %s, not a file name", who, i, util.show(paths[i]))
    end
  end
  return paths
end

function M.files(paths, options)
  if type(options) == "string" or (type(options) == "table" and options[1] ~= nil) then
    fail 'lsio.files takes one list of paths: { "a", "b" }; options, as { whole = true }, come behind it'
  end
  local s = check_files(options, "lsio.files", file_options)
  s.kind, s.paths = "files", check_paths(paths, "lsio.files")
  if #s.paths == 0 then
    fail "lsio.files: the list of paths is empty; if the script takes them from params, write them behind it"
  end
  return setmetatable(s, SOURCE)
end

function M.list(path, options)
  if type(path) == "table" then
    fail 'lsio.list wants the name of one list, not a table; options behind it: ("names", { nul = true })'
  end
  local s = check_files(options, "lsio.list", list_options)
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
    fail('lsio.list wants the name of a list of paths, or "-" (standard input), not %s', util.show(path))
  end
  s.nul = options and options.nul
  if s.nul ~= nil and type(s.nul) ~= "boolean" then
    fail("lsio.list: nul must be true (names end with a NUL byte) or false, not %s", util.show(s.nul))
  end
  s.kind, s.file = "list", path
  return setmetatable(s, SOURCE)
end

local stdin_options = { chunk = true }
local stdin_most = 1073741824 -- bytes: what one operation may have

function M.stdin(options)
  if options ~= nil and (type(options) ~= "table" or options[1] ~= nil) then
    fail 'lsio.stdin takes no paths, but { chunk = "1MiB" }; where standard input lists them: lsio.list("-")'
  end
  options = options or {}
  util.only_keys(options, stdin_options, "option of lsio.stdin", fail_text)
  local s = { kind = "stdin" }
  if options.chunk ~= nil then s.chunk = size(options.chunk, "lsio.stdin: chunk", 1) end
  if s.chunk and s.chunk > stdin_most then fail "lsio.stdin: a chunk has at most 1 GiB" end
  return setmetatable(s, SOURCE)
end

local range_keys = { objects = true, object = true, offset = true, length = true, tag = true, group = true,
  file = true, missing = true, changing = true }

function M.ranges(t, more)
  if more ~= nil then fail "lsio.ranges takes one table, with all that belongs to it" end
  if type(t) ~= "table" then fail("lsio.ranges wants a table, not %s", util.show(t)) end
  util.only_keys(t, range_keys, "key of lsio.ranges", fail_text)
  local s = { kind = "ranges" }
  check_absent(t, s, "lsio.ranges")
  if t.objects ~= nil then s.objects = check_paths(t.objects, "lsio.ranges: objects") end
  if t.file ~= nil then
    if type(t.file) ~= "string" then fail("lsio.ranges: file must be a path, not %s", util.show(t.file)) end
    for _, key in ipairs { "object", "offset", "length", "tag", "group" } do
      if t[key] ~= nil then fail("lsio.ranges: %s comes from the file; give one or the other", key) end
    end
    s.file = t.file
    return setmetatable(s, SOURCE)
  end
  if not s.objects or #s.objects == 0 then fail "lsio.ranges: objects (a list of paths) is missing" end
  for _, key in ipairs { "object", "offset", "length", "tag", "group" } do
    local v = t[key]
    local ok = type(v) == "table" or type(v) == "cdata"
    if key == "length" then ok = ok or v == nil or type(v) == "number" or type(v) == "string" end
    if key == "object" then ok = ok or (v == nil and #s.objects == 1) end
    if key == "tag" or key == "group" then ok = ok or v == nil end
    if not ok then
      fail("lsio.ranges: %s must be an array (Lua or FFI), not %s", key, util.show(v))
    end
    s[key] = v
  end
  if s.length == nil then s.length = TO_END end
  if type(s.length) == "string" or (type(s.length) == "number" and s.length ~= TO_END) then
    s.length = size(s.length, "lsio.ranges: length", 0)
  end
  return setmetatable(s, SOURCE)
end

-- Elements of a Lua table or an FFI array, whatever its first index.
local function count_of(v, key)
  if type(v) == "table" then
    if v[0] ~= nil then fail("lsio.ranges: %s has an element 0, but a Lua array begins with 1", key) end
    return #v
  end
  local array, why = require "lsio.view".of_array(v)
  if not array then fail("lsio.ranges: %s: %s", key, why) end
  return array.n
end

local from = { [0] = " from 0", [TO_END] = " from 0, or -1: up to the object's end" }

-- Fills the FFI array `out` from v; every element is checked, with its position in the message.
local function fill(out, v, n, key, low, high)
  local at, shift = v, 0
  if type(v) == "table" then
    shift = 1
  else
    at = require "lsio.view".of_array(v)
  end
  for i = 0, n - 1 do
    local x = at[i + shift]
    if type(x) == "cdata" then x = tonumber(x) end -- int64: exact below 2^53, checked next
    if type(x) ~= "number" or x < low or x > (high or 9007199254740992) or x ~= math.floor(x) then
      fail("lsio.ranges: %s[%d] is %s, not a whole number%s%s", key, i + shift, util.show(x),
        from[low] or "", high and (" to %.0f"):format(high) or "")
    end
    out[i] = x
  end
end

local function fill_tags(out, v, n)
  local is_table = type(v) == "table"
  for i = 0, n - 1 do
    local x
    if is_table then x = v[i + 1] else x = v[i] end
    if type(x) ~= "cdata" and not util.whole(x, -2 ^ 53, 2 ^ 53) then
      fail("lsio.ranges: tag[%d] is %s, not a whole number", is_table and i + 1 or i, util.show(x))
    end
    out[i] = x
  end
end

local function describe_arrays(s, to)
  local n = count_of(s.offset, "offset")
  for _, key in ipairs { "object", "length", "tag", "group" } do
    if s[key] ~= nil and type(s[key]) ~= "number" then
      local m = count_of(s[key], key)
      if m ~= n then fail("lsio.ranges: %s has %d elements, offset has %d", key, m, n) end
    end
  end
  core.check(core.vt.source_arrays(to, n, s.tag ~= nil, s.group ~= nil, core.err))
  local length = to.length
  if s.object then fill(to.object, s.object, n, "object", 0, 4294967295) else to.of_one = true end
  fill(to.offset, s.offset, n, "offset", -9007199254740992)
  if type(s.length) == "number" then
    for i = 0, n - 1 do length[i] = s.length end
  else
    fill(length, s.length, n, "length", TO_END)
  end
  if s.tag ~= nil then fill_tags(to.tag, s.tag, n) end
  if s.group ~= nil then fill(to.group, s.group, n, "group", 0) end
end

local function add_paths(list, paths)
  for i = 1, #paths do core.check(core.vt.paths_later(list, paths[i], core.err)) end
end

-- Bytes of a chunk when neither chunk nor whole was given: compressed files are taken whole.
local default_chunk = 1048576

local kinds = { files = 1, list = 2, arrays = 3, ranges = 4, stdin = 5 } -- enum lsi_lua_source_kind

local function name_list(to, file)
  if not core.vt.source_file(to, file, #file) then
    core.fail(core.NOMEM, "no memory for the name of a list")
  end
end

-- Says in the struct `to` what is to be opened; may_be_late: the job needs no sizes before it reads.
function M.describe(s, to, compressed, may_be_late)
  to.kind = kinds[s.kind]
  if s.missing then to.missing = s.missing end
  if s.may_grow then to.may_grow = true end
  if s.kind == "ranges" then
    if s.objects then add_paths(to.paths, s.objects) end
    if not s.file then
      to.kind = kinds.arrays
      return describe_arrays(s, to)
    end
    return name_list(to, s.file)
  end
  if s.kind == "stdin" then
    if compressed then
      fail "lsio.stdin cuts what comes as it is; have it decoded before: zstd -dc x.zst | lsio-lua job.lua"
    end
    to.cut.chunk = s.chunk or default_chunk
    return
  end
  if s.kind == "files" then
    add_paths(to.paths, s.paths)
  else
    name_list(to, s.file)
    if s.nul then to.nul = true end
  end
  local whole = s.whole or (s.whole == nil and not s.chunk and compressed)
  local cut = to.cut
  cut.offset, cut.length = s.offset, s.length or -1
  cut.chunk, cut.may_be_late = whole and 0 or s.chunk or default_chunk, may_be_late
end

return M
