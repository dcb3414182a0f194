-- A manifest: SHA-256, size and path of every file, a line each, sorted by path; for millions of files.
-- Backslashes and newlines in paths are written \\ and \n. "**" leaves hidden names out, as in a shell.
--   lsio-lua scripts/manifest.lua --out=manifest.txt 'data/**'
local lsio, buffer = require "lsio", require "string.buffer"
local BLOCK, escapes = 1048576, { ["\\"] = "\\\\", ["\n"] = "\\n" } -- BLOCK: bytes of text in one string
local path, hash -- path: of the coordinator, where source and done run; hash: a worker's
local function open(out, mode) return out == "" and io.stdout or assert(io.open(out, mode)) end
local function must(ok, why) return ok or error((path == "" and "stdout" or path) .. ": " .. why, 0) end
-- Every line of `parts` starts with its file's index, which is not written.
local function write(file, parts, first, last)
  local place = {} for i = 1, last - first + 1 do place[i] = 0 end -- part and position, 0: skipped
  for p, text in ipairs(parts) do
    for at, index in text:gmatch("()(%d+)[^\n]*\n") do place[index - first + 1] = p * 2 * BLOCK + at end
  end
  for _, v in ipairs(place) do
    local text, at = parts[math.floor(v / (2 * BLOCK))], v % (2 * BLOCK)
    if text then must(file:write(text:match("^%d+ ([^\n]*\n)", at))) end
  end
  must(file:flush())
end

return lsio.job {
  params    = { out = { "", "write to this file instead of standard output" } },
  source    = function(params) path = params.out return lsio.files(params, { whole = true }) end,
  piece     = "1MiB", -- of what is larger
  state     = function() return { lines = buffer.new(), parts = {}, first = math.huge, last = -1 } end,
  init      = function(_, worker, params) return worker == 0 and open(params.out, "a") end, -- or fails now
  transform = function(chunk, s)
    hash = hash or lsio.k.sha256_begin()
    if chunk.first then hash:reset() end
    hash:update(chunk.data)
    if not chunk.last then return end
    s.lines:putf("%d %s %.0f %s\n", chunk.index, hash:hex(), chunk.length, chunk.name:gsub("[\\\n]", escapes))
    s.first, s.last = math.min(s.first, chunk.index), math.max(s.last, chunk.index)
    if #s.lines >= BLOCK then s.parts[#s.parts + 1] = s.lines:get() end
  end,
  finish    = function(s) s.parts[#s.parts + 1], s.lines = s.lines:get(), nil return s end,
  reduce    = { parts = "concat", first = "min", last = "max" },
  done      = function(r) write(open(path, "w"), r.parts, r.first, r.last) end,
}
