-- Words for messages, and checks that every module shares. No FFI, no C: usable anywhere.
local M = {}

-- Edit distance with transpositions counted as one, case ignored.
local function distance(a, b)
  a, b = a:lower(), b:lower()
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local d = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = d
    end
  end
  return rows[#a][#b]
end

-- Sorted string keys of a table.
function M.keys(t)
  local out = {}
  for key in pairs(t) do
    if type(key) == "string" then out[#out + 1] = key end
  end
  table.sort(out)
  return out
end

-- The name nearest to `word`, or nil when none is near.
function M.nearest(word, names)
  local best, least = nil, math.max(1, math.floor(#word / 2))
  if #word > 64 then return nil end
  for _, name in ipairs(names) do
    local d = distance(word, name)
    -- a shared beginning is what a user half remembers ("thresh" for "threshold")
    if d > least and #word >= 3 and name:lower():sub(1, #word) == word:lower() then d = least end
    if d < least or (d == least and not best) then best, least = name, d end
  end
  return best
end

-- 'unknown key "tranform"; did you mean "transform"?', or all valid ones when none is near.
function M.unknown(what, word, names)
  local near = M.nearest(tostring(word), names)
  if near then return ('unknown %s "%s"; did you mean "%s"?'):format(what, tostring(word), near) end
  return ('unknown %s "%s"; valid: %s'):format(what, tostring(word), table.concat(names, ", "))
end

-- How a value is shown in a message: short, on one line.
function M.show(v)
  if type(v) == "string" then
    if #v > 40 then v = v:sub(1, 37) .. "..." end
    return (("%q"):format(v):gsub("\n", "n"))
  end
  if type(v) == "table" or type(v) == "function" or type(v) == "userdata" or type(v) == "thread" then
    return "a " .. type(v)
  end
  return tostring(v)
end

-- A whole number within [low, high].
function M.whole(v, low, high)
  return type(v) == "number" and v >= low and v <= high and v == math.floor(v)
end

-- Fails unless every key of `t` is in the set `valid`; `fail(message, key)` raises.
function M.only_keys(t, valid, what, fail)
  for key in pairs(t) do
    if type(key) ~= "string" or valid[key] == nil then
      fail(M.unknown(what, key, M.keys(valid)), key)
    end
  end
end

return M
