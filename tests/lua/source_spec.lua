-- What a script writes in the wrong place is named, and not left out.
local support = require "support"
local sink = require "lsio.sink"
local source = require "lsio.source"

local message = support.message

local function names(f, args, ...)
  local text = message(f, unpack(args, 1, 3))
  for _, word in ipairs { ... } do
    assert(text:find(word, 1, true), ("%q is not in: %s"):format(word, text))
  end
end

describe("sources", function()
  it("take options behind the list of paths, not in it", function()
    for _, key in ipairs { "chunk", "offset", "length", "whole", "nul" } do
      names(source.files, { { "a", [key] = 1 } }, "lsio.files: " .. key .. " stands in the list of paths",
        "({ PATH, ... }, { " .. key .. " = ... })")
    end
    names(source.ranges, { { objects = { "a", whole = true }, offset = { 0 } } }, "lsio.ranges: objects: whole stands")
    names(source.list, { { "names", nul = true } }, "lsio.list", "name of one list", '("names", { nul = true })')
  end)

  it("take nothing else in it", function()
    names(source.files, { { "a", paths = "b" } }, "paths stands in the list of paths")
    names(source.files, { { [0] = "a", "b" } }, "[0] stands in the list of paths", "from 1 on")
    names(source.files, { { "a", [7] = "b" } }, "[7] stands", "without gaps")
    names(source.files, { { [true] = "b" } }, "[true] stands")
    names(source.files, { {} }, "the list of paths is empty")
    assert(source.is(source.files { "a", "b" }))
  end)

  it("take several paths as one list", function()
    names(source.files, { "a", "b" }, "lsio.files takes one list of paths", '{ "a", "b" }')
    names(source.files, { "a", { "b" } }, "lsio.files takes one list of paths")
    names(source.files, { "a", 3 }, "options must be a table", "not 3")
  end)

  it("may be a job's parameters, with names beside the paths", function()
    local params = { "a", "b", chunk = 3, threshold = 0.5 }
    source.are_params(params)
    assert.same({ "a", "b", chunk = 3, threshold = 0.5 }, source.files(params).paths)
  end)

  it("take one table of ranges", function()
    names(source.ranges, { { objects = "a", offset = { 0 } }, { whole = true } }, "lsio.ranges takes one table")
  end)
end)

describe("sinks", function()
  it("say what is wrong with a shape", function()
    names(sink.npy, { "o", { shape = {} } }, "lsio.npy: shape is empty", "{ -1, 256 }")
    names(sink.npy, { "o", { shape = { rows = 3 } } }, "rows has no place in it")
    names(sink.npy, { "o", { shape = { 3, cols = 4 } } }, "cols has no place in it")
    names(sink.npy, { "o", { shape = { [0] = 3, 4 } } }, "[0] has no place in it", "from 1 on")
    names(sink.npy, { "o", { shape = { 3, [5] = 4 } } }, "[5] has no place in it")
    names(sink.npy, { "o", { shape = 3 } }, "shape must be a list", "not 3")
    assert.same({ -1, 4 }, sink.npy("o", { shape = { -1, 4 } }).shape)
  end)

  it("take options behind the path", function()
    names(sink.npy, { { "o", exists = "replace" } }, "lsio.npy wants a path", '("out.npy", { exists = "replace" })')
    names(sink.raw, { { "o" } }, "lsio.raw wants a path", '("out.raw", {')
    names(sink.npy, { 3 }, "lsio.npy wants a path, not 3")
  end)
end)
