"""Ranges and lists of paths as people have them."""
import csv
import io
import os
import random
import subprocess
import unittest

import numpy as np

from support import RunnerTest

# The bytes of each chunk, and what it is.
JOB = """local lsio = require "lsio"
return lsio.job {
  source = %s,
  sink = lsio.raw("out.raw", { exists = "replace" }),
  state = function() return { lines = "" } end,
  transform = function(chunk, state)
    state.lines = state.lines .. ("%%s %%.0f %%.0f %%.0f\\n"):format(chunk.name, chunk.offset, chunk.length, chunk.tag)
    lsio.k.copy(chunk.data, chunk.n, chunk.out)
  end,
  reduce = { lines = "concat" },
  done = function(r) io.write(r.lines) end,
}"""
SIZES = {"a.bin": 1000, "b.bin": 37, "c.bin": 0}


class ListTest(RunnerTest):
    def setUp(self):
        super().setUp()
        self.bytes = {}
        for i, (name, size) in enumerate(SIZES.items()):
            self.bytes[name] = np.random.RandomState(i).bytes(size)
            with open(self.path(name), "wb") as f:
                f.write(self.bytes[name])

    def check(self, source, rows, **more):
        """A job on that source reads these rows: name, offset, length, tag; -1 and negative offsets as in lists."""
        want = []
        for name, offset, length, tag in rows:
            at = offset if offset >= 0 else SIZES[name] + offset
            want.append((name, at, SIZES[name] - at if length == -1 else length, tag))
        r = self.expect(0, "-j1", "-e", JOB % source, **more)
        got = [line.rsplit(" ", 3) for line in r.out.splitlines()]
        self.assertEqual(sorted((name, int(o), int(n), int(t)) for name, o, n, t in got), sorted(want))
        with open(self.path("out.raw"), "rb") as f:
            self.assertEqual(f.read(), b"".join(self.bytes[name][at:at + n] for name, at, n, _ in want))

    def refused(self, source, code, *words, **more):
        r = self.expect(code, "-e", JOB % source, **more)
        for word in words:
            self.assertIn(word, r.said)
        return r


class ToTheEnd(ListTest):
    ROWS = [("a.bin", 10, -1, 1), ("a.bin", -10, -1, 2), ("b.bin", 0, -1, 3), ("b.bin", 37, -1, 4),
            ("c.bin", 0, -1, 5), ("a.bin", 5, 6, 6)]

    def test_csv(self):
        for end in ("", "-1", '""', '"-1"'):
            self.write("r.csv", "path,offset,length,tag\n" + "".join(
                "%s,%d,%s,%d\n" % (p, o, end if n == -1 else n, t) for p, o, n, t in self.ROWS))
            self.check('lsio.ranges { file = "r.csv" }', self.ROWS)

    def test_npy(self):
        names = list(SIZES)
        np.save(self.path("r.npy"), np.array([(names.index(p), o, n, t) for p, o, n, t in self.ROWS]))
        self.check('lsio.ranges { file = "r.npy", objects = { "a.bin", "b.bin", "c.bin" } }', self.ROWS)

    def test_arrays(self):
        for length in ("", ", length = -1", ", length = { -1, -1 }"):
            self.check('lsio.ranges { objects = "a.bin", offset = { 10, -10 }, tag = { 1, 2 }%s }' % length,
                       self.ROWS[:2])

    def test_what_lies_outside_is_named(self):
        for offset, length in ((1001, ""), (-1001, "-1"), (1 << 62, "")):
            self.write("r.csv", "path,offset,length\na.bin,%d,%s\n" % (offset, length))
            self.refused('lsio.ranges { file = "r.csv" }', 2, "a.bin", "the offset %d lies" % offset, "1000 bytes")
        self.write("r.csv", "path,offset,length\na.bin,0,-2\n")
        self.refused('lsio.ranges { file = "r.csv" }', 2, "'r.csv', line 2, length", "nothing or -1")


class Traps(ListTest):
    """What would be left out without a word."""
    def test_what_stands_in_the_wrong_place(self):
        for source, words in (('lsio.files { "a.bin", chunk = "1MiB" }', "chunk stands in the list of paths; options come behind it"),
                              ('lsio.ranges { objects = "a.bin", offset = { [0] = 3, 5 } }', "offset has an element 0"),
                              ('lsio.ranges { objects = "a.bin", offset = { 5 }, tag = { [0] = 3, 5 } }', "tag has an element 0"),
                              ('function() return lsio.files { "a.bin", whole = true } end', "whole stands in the list of paths")):
            self.refused(source, 3, words)

    def test_parameters_are_no_mistake(self):
        job = (JOB % "function(params) return lsio.files(params) end").replace("state =", 'params = { chunk = 5, name = "x" }, state =')
        r = self.expect(0, "-j1", "-e", job, "a.bin", "b.bin", "--chunk=7")
        self.assertEqual(r.out, "a.bin 0 1000 0\nb.bin 0 37 0\n")


class Npy(ListTest):
    def test_all_types_and_orders(self):
        rows = [("a.bin", 10, 20, 1), ("b.bin", 37, 0, 2), ("a.bin", 0, 1000, 3), ("c.bin", 0, 0, 100)]
        names = list(SIZES)
        table = np.array([(names.index(p), o, n, t) for p, o, n, t in rows])
        source = 'lsio.ranges { file = "r.npy", objects = { "a.bin", "b.bin", "c.bin" } }'
        for dtype in ("i8", "u8", "i4", "u4"):
            signed = dtype[0] == "i"
            for order in "<>":
                for layout in "CF":
                    more = [("b.bin", -7, -1, -4)] if signed else []
                    t = np.vstack([table, np.array([[1, -7, -1, -4]])]) if signed else table
                    np.save(self.path("r.npy"), t.astype(order + dtype, order=layout))
                    self.check(source, rows + more)

    def test_values_that_do_not_fit_are_named(self):
        for row, words in (((0, 1 << 63, 1), "row 1: the offset is 9223372036854775808"),
                           ((0, 0, (1 << 64) - 1), "row 1: the length is 18446744073709551615"),
                           (((1 << 64) - 1, 0, 1), "row 1: the object is 18446744073709551615"),
                           ((1 << 32, 0, 1), "row 1: the object is 4294967296")):
            np.save(self.path("r.npy"), np.array([(0, 0, 1), row], "<u8"))
            self.refused('lsio.ranges { file = "r.npy", objects = "a.bin" }', 2, "r.npy", words)


class Csv(ListTest):
    """Written in all the ways that people and programs write them; Python's csv module says what they mean."""

    def setUp(self):
        super().setUp()
        self.dice = random.Random(os.environ.get("LSIO_TEST_SEED", "12"))

    def field(self, text):
        quoted = any(c in text for c in ',"\r\n') or text != text.strip() or self.dice.random() < 0.2
        blanks = [self.dice.choice(["", "", "", " ", "\t", "  "]) for _ in range(2)]
        if quoted:
            blanks[0] = " " * len(blanks[0])  # Python knows no tab before quotes
        return blanks[0] + ('"%s"' % text.replace('"', '""') if quoted else text) + blanks[1]

    def text(self, rows, tagged):
        """As a CSV, in some way."""
        columns = ["path", "offset", "length"] + ["tag"] * tagged
        columns += self.dice.sample(["", "name", "Path", "x y", "a,b", "path2", 'q"', "note"], self.dice.randrange(4))
        self.dice.shuffle(columns)
        end = self.dice.choice(["\n", "\r\n"])
        lines = [",".join(map(self.field, columns))]
        for row in rows:
            values = dict(zip(("path", "offset", "length", "tag"), map(str, row)))
            if row[2] == -1 and self.dice.random() < 0.7:
                values["length"] = ""
            lines.append(",".join(self.field(values.get(c, self.dice.choice(["", "7", "x, y", 'say "x"', "two\nlines"])))
                                  for c in columns))
        for i in range(self.dice.randrange(4)):
            lines.insert(self.dice.randrange(len(lines) + 1), self.dice.choice(["", " ", "\t ", "," * len(columns), ", ,"]))
        return self.dice.choice(["", "\ufeff"]) + end.join(lines) + self.dice.choice(["", end, end + end])

    def theirs(self, text, tagged):
        """What Python reads; a blank behind quotes it takes for the field's."""
        lines = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), skipinitialspace=True)
                 if any(field.strip() for field in row)]
        rows = []
        for row in lines[1:]:
            row = dict(zip((name.strip() for name in lines[0]), (field.strip() for field in row)))
            rows.append((row["path"], int(row["offset"]), int(row["length"] or -1), int(row["tag"]) if tagged else 0))
        return rows

    def test_they_mean_what_python_reads(self):
        for _ in range(40):
            tagged = self.dice.random() < 0.5
            rows = []
            for _ in range(self.dice.randrange(9)):
                name = self.dice.choice(list(SIZES))
                offset = self.dice.randrange(SIZES[name] + 1)
                length = self.dice.choice([-1, self.dice.randrange(SIZES[name] - offset + 1)])
                if offset and self.dice.random() < 0.5:
                    offset -= SIZES[name]
                rows.append((name, offset, length, self.dice.randrange(-9, 9) if tagged else 0))
            text = self.text(rows, tagged)
            self.assertEqual(self.theirs(text, tagged), rows, text)
            with open(self.path("r.csv"), "w", newline="") as f:
                f.write(text)
            with self.subTest(text=text):
                self.check('lsio.ranges { file = "r.csv" }', rows)

    def test_blanks_in_quotes_belong_to_the_path(self):
        SIZES[" s.bin "] = 5
        self.addCleanup(SIZES.pop, " s.bin ")
        self.bytes[" s.bin "] = b"blank"
        self.write(" s.bin ", "blank")
        self.write("r.csv", 'path,offset,length\n " s.bin " , 1 , 2 \n')
        self.check('lsio.ranges { file = "r.csv" }', [(" s.bin ", 1, 2, 0)])

    def test_messages_name_the_line(self):
        for text, line in (("\n\nlength,note,path,offset\n\n1,,a.bin,0\n 1x ,,a.bin,0\n", "line 6, length"),
                           ("path,offset,length,note\na.bin,0,1,\"two\nlines\"\na.bin, one ,1,\n", "line 4, offset"),
                           ("path,offset,length,note\na.bin,0,1\n", "line 2: expected 4 fields, as the header has, found 3"),
                           ("\npath,offset,note\na.bin,0,1\n", "line 2: expected the header path,offset,length"),
                           ("path,offset,length, path\na.bin,0,1,a.bin\n", "line 1, path: expected one column")):
            self.write("r.csv", text)
            self.refused('lsio.ranges { file = "r.csv" }', 2, "'r.csv', " + line)


class Files(ListTest):
    def test_negative_offsets_count_from_the_end(self):
        for offset in ("-20", '"-20"', "-20.0"):
            self.check('lsio.files({ "a.bin", "b.bin" }, { offset = %s })' % offset,
                       [("a.bin", -20, -1, 0), ("b.bin", -20, -1, 0)])
        self.check('lsio.files("a.bin", { offset = "-0.5KiB", length = 100, chunk = 60 })',
                   [("a.bin", -512, 60, 0), ("a.bin", -452, 40, 0)])
        self.check('lsio.files("*.bin", { offset = 0, length = -1, whole = true })',
                   [(name, 0, -1, 0) for name in SIZES])

    def test_what_lies_outside_is_named(self):
        self.refused('lsio.files("*.bin", { offset = -38 })', 2, "b.bin", "offset -38", "37 bytes")
        self.refused('lsio.files("a.bin", { offset = -10, length = 11 })', 2, "a.bin", "offset -10", "length 11")
        for offset in ('"-x"', '"--1"', '"-"', "-0.5", "-2 ^ 60", "-1 / 0", "{}"):
            self.refused('lsio.files("a.bin", { offset = %s })' % offset, 3, "offset must be a size")


class Objects(ListTest):
    def test_patterns(self):
        """Each stands for what it finds, in its place among the others."""
        arrays = "object = { 0, 1, 2 }, offset = { 0, 0, 0 }"
        for objects, names in (('"*.bin"', "abc"), ('{ "c*", "[ab].bin" }', "cab"), ('{ "b.bin", "?.bin" }', "bab"),
                               ('{ "{b,a}.bin", "c.bin" }', "abc"), ('"file://%s/?.bin"' % self.dir, "abc")):
            rows = [("%s.bin" % c, 0, -1, 0) for c in names]
            if "file" in objects:
                r = self.expect(0, "-j1", "-e", JOB % ("lsio.ranges { objects = %s, %s }" % (objects, arrays)))
                self.assertEqual(len(r.out.splitlines()), 3)
            else:
                self.check("lsio.ranges { objects = %s, %s }" % (objects, arrays), rows)
        self.check('lsio.ranges { objects = "a*", offset = { 3, -3 } }', [("a.bin", 3, -1, 0), ("a.bin", -3, -1, 0)])
        np.save(self.path("r.npy"), np.array([(2, 0, 0), (0, 999, 1), (1, -1, -1)]))
        self.check('lsio.ranges { objects = "*.bin", file = "r.npy" }',
                   [("c.bin", 0, 0, 0), ("a.bin", 999, 1, 0), ("b.bin", -1, -1, 0)])

    def test_a_file_that_is_called_like_a_pattern(self):
        self.write("[ab].bin", "0123")
        SIZES["[ab].bin"], self.bytes["[ab].bin"] = 4, b"0123"
        self.addCleanup(SIZES.pop, "[ab].bin")
        self.check('lsio.ranges { objects = "[ab].bin", offset = { 1 } }', [("[ab].bin", 1, -1, 0)])

    def test_what_is_wrong_is_named(self):
        self.refused('lsio.ranges { objects = "x*", offset = { 0 } }', 4, "no file matches", "x*")
        self.refused('lsio.ranges { objects = "*.bin", offset = { 0 } }', 3, "object is missing", "3 objects",
                     "object = { 0, ... }")
        self.refused('lsio.ranges { objects = "*.bin", object = { 0, 3 }, offset = { 0, 0 } }', 3, "object 3 (position 1)",
                     "not among the 3 objects")
        self.refused('lsio.ranges { objects = "*.bin", object = { 0, 2 ^ 32 }, offset = { 0, 0 } }', 3,
                     "object[2] is 4294967296, not a whole number from 0 to 4294967295")
        np.save(self.path("r.npy"), np.array([(3, 0, 0)]))
        self.refused('lsio.ranges { objects = "*.bin", file = "r.npy" }', 2, "r.npy", "object 3", "3 objects")


class Patterns(RunnerTest):
    JOB = """local lsio = require "lsio"
return lsio.job { source = lsio.files("%s"), transform = function(chunk) print(chunk.name) end }"""

    def found(self, pattern, *more):
        return sorted(self.expect(0, "-j1", "-e", self.JOB % pattern, *more).out.splitlines())

    def test_a_question_mark_is_a_character(self):
        for name in ("a.bin", "\u00e4.bin", "\u20ac.bin", "\U0001f600.bin", "ab.bin", "\u00e4\u00f6.bin"):
            self.write(name, "x")
        one = sorted(["a.bin", "\u00e4.bin", "\u20ac.bin", "\U0001f600.bin"])
        for locale in ("C", "C.UTF-8"):
            self.env["LC_ALL"] = locale
            self.assertEqual(self.found("?.bin"), one)
            self.assertEqual(self.found("??.bin"), ["ab.bin", "\u00e4\u00f6.bin"])
            self.assertEqual(self.found("[!a].bin"), sorted(set(one) - {"a.bin"}))
            self.assertEqual(self.found("[\u00e4-\u00f6].bin"), ["\u00e4.bin"])
            self.assertEqual(self.found("*\u00f6.bin"), ["\u00e4\u00f6.bin"])

    def warned(self, source, *words):
        r = self.expect(0, "--quiet", "-e", "local lsio = require 'lsio' return lsio.job "
                        "{ source = %s, transform = function() end }" % source)
        self.assertEqual(r.err.splitlines(), ["lsio: warning: " + w for w in words])

    def test_what_patterns_leave_out_is_warned_of(self):
        self.write("a.bin", "x")
        os.mkdir(self.path("d"))
        self.write("d/b.bin", "x")
        self.warned("lsio.files('*.bin')")
        self.warned("lsio.files('{a,d/b}.bin')")
        os.symlink("nowhere", self.path("dead.bin"))
        one = "1 broken symbolic link matches a pattern and is left out: 'dead.bin'"
        self.warned("lsio.files('*.bin')", one)
        self.warned("lsio.files('{*,dead,?}.bin')", one)
        self.warned("lsio.ranges { objects = '*.bin', offset = { 0 } }", one)
        os.symlink("loop\n.bin", self.path("d/loop\n.bin"))
        self.warned("lsio.files('**/*.bin')", "2 broken symbolic links match patterns and are left out, the first of them 'd/loop?.bin'")
        self.warned("lsio.files { 'd/*.bin', '?.bin', 'd/*' }",
                    "2 broken symbolic links match patterns and are left out, the first of them 'd/loop?.bin'")
        self.warned("lsio.files('{a,missing}.bin')", "1 alternative in braces matches no file: 'missing.bin'")
        self.warned("lsio.files { '{x,a,y*,dead}.bin', 'd/{b,c}.bin' }", one,
                    "3 alternatives in braces match no file, the first of them 'x.bin'")
        os.unlink(self.path("a.bin"))
        r = self.expect(4, "-e", self.JOB % "*.bin")
        self.assertIn("all that matches a pattern is broken symbolic links (1): object '*.bin'", r.said)
        self.assertNotIn("warning", r.err)


class Lists(ListTest):
    def test_of_a_file_and_of_standard_input(self):
        rows = [("b.bin", 0, -1, 0), ("a.bin", 0, -1, 0), ("b.bin", 0, -1, 0), ("c.bin", 0, -1, 0)]
        for end, last in (("\n", "\n"), ("\n", ""), ("\r\n", "\r\n"), ("\r\n", ""), ("\r\n\r\n", "\r\n"),
                          ("\n\n", "\n\n"), ("\0", "\0"), ("\0", ""), ("\0\0", "")):
            text = end.join(name for name, _, _, _ in rows) + last
            nul = ", { nul = true }" if "\0" in end else ""
            with open(self.path("names"), "w", newline="") as f:
                f.write(text)
            self.check('lsio.list("names"%s)' % nul, rows)
            self.check('lsio.list("file://%s"%s)' % (self.path("names"), nul), rows)
            self.check('lsio.list("-"%s)' % nul, rows, input=text)
            if not nul:  # a byte order mark belongs to no name
                with open(self.path("names"), "w", newline="", encoding="utf-8-sig") as f:
                    f.write(text)
                self.check('lsio.list("names")', rows)
                self.check('lsio.list("-")', rows, input="\ufeff" + text)
        for text in ("\ufeff", "\ufeff\r\n", "\ufeff\n\n"):
            self.check('lsio.list("-")', [], input=text)
        self.check('lsio.list("-", { nul = false, offset = -30, chunk = 20 })',
                   [("a.bin", -30, 20, 0), ("a.bin", -10, 10, 0)], input="a.bin")
        self.check('function() return lsio.list("names", { nul = true, whole = true }) end', rows)

    def test_closed_standard_input_is_no_empty_list(self):
        for source in ('lsio.list("-")', 'lsio.list("-", { nul = true })', 'lsio.ranges { file = "-" }'):
            self.refused(source, 4, "standard input is closed", "COMMAND |", before=lambda: os.close(0))
            r = self.expect(4, "-", input=JOB % source)
            self.assertIn("lsio-lua: standard input held the script: ", r.err)
        self.expect(0, "-e", JOB % 'lsio.list("-")', input="")

    def test_names_with_line_ends(self):
        strange = ["two\nlines", "\r\n", "end\r", " x", "*.bin", "{a,b}"]
        for name in strange:
            self.bytes[name] = name.encode()
            SIZES[name] = len(self.bytes[name])
            self.addCleanup(SIZES.pop, name)
            with open(self.path(name), "wb") as f:
                f.write(self.bytes[name])
        job = (JOB % 'lsio.list("-", { nul = true })').replace("chunk.name,", '(chunk.name:gsub("[\\r\\n]", "|")),')
        r = self.expect(0, "-j1", "-e", job, input="\0".join(strange))
        self.assertEqual(sorted(r.out.splitlines()), sorted("%s 0 %d 0" % (n.replace("\n", "|").replace("\r", "|"), len(n))
                                                            for n in strange))
        with open(self.path("out.raw"), "rb") as f:
            self.assertEqual(f.read(), "".join(strange).encode())
        found = subprocess.run(["find", ".", "-type", "f", "-newer", "c.bin", "-print0"], cwd=self.dir,
                               stdout=subprocess.PIPE, check=True).stdout.decode()
        self.expect(0, "-e", JOB % 'lsio.list("-", { nul = true })', input=found)

    def test_what_is_wrong_is_named(self):
        self.refused('lsio.list("-")', 2, "line 2", "NUL byte", "standard input", 'lsio.list("-", { nul = true })',
                         input="a.bin\nb.bin\0c.bin\n")
        self.write("names", "a.bin\0b.bin\0")
        self.refused('lsio.list("names")', 2, "line 1", "object 'names'", 'lsio.list("names", { nul = true })')
        self.refused('lsio.list("nowhere")', 4, "nowhere")
        self.refused('lsio.list(".")', 4, "'.'")
        self.refused('lsio.list("-")', 4, "none.bin", input="a.bin\nnone.bin\n")
        self.refused('lsio.list("-", { nul = true })', 4, "'a.bin?'", input="a.bin\n")
        self.refused('lsio.list("-", { nul = true })', 4, "'\ufeffa.bin'", input="\ufeffa.bin\0")
        self.refused('lsio.list("-")', 4, "'\ufeffb.bin'", input="a.bin\n\ufeffb.bin\n")
        for args, words in (("", "not nil"), ("{ 'a.bin' }", "not a table"), ('""', 'not ""'), ("3", "not 3"),
                            ('"-", { nul = 0 }', "nul must be true"), ('"-", { null = true }', 'did you mean "nul"?'),
                            ('"-", "nul"', "options must be a table"), ('"-", { chunk = 1, whole = true }', "either chunk")):
            r = self.refused("lsio.list(%s)" % args, 3, "lsio.list", words)
            self.assertIn(":3:", r.err)
        for args in ('"a.bin"', "{ 'a.bin' }"):
            self.refused("lsio.stdin(%s)" % args, 3, ":3:", 'lsio.list("-")')
        self.assertIn("lsio.list(...)", self.expect(3, "-e", "return require 'lsio'.job {}").err)


class Arrays(RunnerTest):
    """A .npy that is read from its start as numbers would give its header as elements."""
    JOB = """local lsio = require "lsio"
return lsio.job {
  source = %s, type = "%s", state = "double n, sum;", reduce = { n = "sum", sum = "sum" },
  transform = function(chunk, state) state.n = state.n + chunk.n state.sum = state.sum + lsio.k.sum(chunk.data) end,
  done = function(r) print(r.n, r.sum) end,
}"""

    def refused(self, source, type, *words, options=()):
        r = self.expect(3, *options, "-e", self.JOB % (source, type))
        for word in words + ("NumPy array",):
            self.assertIn(word, r.said)
        return r

    def test_what_to_write_is_said_and_works(self):
        for dtype, name in (("<f4", "f32"), (">f4", "f32be"), ("<f8", "f64"), ("|i1", "i8"), ("|u1", "u8"), (">u2", "u16be"),
                            ("<i8", "i64")):
            for shape, order, text in (((1000,), "C", "{ 1000 }"), ((4, 30), "C", "{ 4, 30 }"), ((), "C", "{ }"),
                                       ((8, 16, 2), "F", "{ 8, 16, 2 } in Fortran order")):
                for version in ((1, 0), (2, 0))[:1 + (order == "F")]:
                    values = (np.arange(np.prod(shape, dtype=int)) % 97).reshape(shape).astype(dtype, order=order)
                    with open(self.path("a.npy"), "wb") as f:
                        np.lib.format.write_array(f, values, version=version)
                        offset = f.tell() - values.nbytes
                    r = self.refused('lsio.files("a.npy")', "i32", "a.npy", "type i32",
                                     'type = "%s" and, for the source, offset = %d; its shape is %s' % (name, offset, text))
                    r = self.expect(0, "-e", self.JOB % ('lsio.files("a.npy", { offset = %d })' % offset, name))
                    self.assertEqual(list(map(float, r.out.split())), [values.size, float(values.sum(dtype="f8"))])

    def test_however_it_is_read(self):
        values = np.arange(1000, dtype="<f4")
        np.save(self.path("a.npy"), values)
        os.rename(self.path("a.npy"), self.path("array"))
        values.tofile(self.path("b.f32"))
        for source in ('lsio.files("array", { whole = true })', 'lsio.files("array", { chunk = 8 })',
                       'lsio.files("array", { length = 64 })', 'lsio.list("names")',
                       'lsio.ranges { objects = { "b.f32", "array" }, object = { 1 }, offset = { 0 } }',
                       'lsio.ranges { objects = "array", offset = { -4128 } }'):
            self.write("names", "array\n")
            for options in ((), ("--on-error=skip",), ("--explain",), ("--backend=pread",), ("--limit=1",)):
                self.refused(source, "f32", "array", "offset = 128", options=options)
        os.rename(self.path("array"), self.path("c.npy"))
        for source in ('lsio.files("*")', 'lsio.list("names")',
                       'lsio.ranges { objects = { "b.f32", "c.npy" }, object = { 0, 0, 1 }, offset = { 0, 8, 0 } }'):
            self.write("names", "b.f32\nc.npy\n")
            self.refused(source, "f32", "c.npy" if "*" not in source else "'c.npy'", "offset = 128")

    def test_of_many_files_too(self):
        os.mkdir(self.path("many"))
        for i in range(1100):
            np.save(self.path("many/%04d.npy" % i), np.zeros(4, "<f4"))
        self.refused('lsio.files("many/*", { whole = true })', "f32", "many/0000.npy", "its shape is { 4 }")
        np.zeros(4, "<f4").tofile(self.path("many/0000.npy"))
        self.refused('lsio.files("many/*", { whole = true })', "f32", "many/0001.npy")

    def test_what_is_no_mistake(self):
        np.save(self.path("a.npy"), np.arange(1000, dtype="<f4"))
        np.arange(8, dtype="<f4").tofile(self.path("b.npy"))  # only called so
        for source, type in (('lsio.files("a.npy")', "u8"), ('lsio.files("a.npy", { offset = 64 })', "f32"),
                             ('lsio.files("a.npy", { offset = -4000 })', "f32"), ('lsio.files("b.npy")', "f32"),
                             ('lsio.ranges { objects = "?.npy", object = { 1, 0 }, offset = { 0, 4 } }', "f32"),
                             ('lsio.ranges { objects = "a.npy", offset = { 0 }, length = 0 }', "f32")):
            self.expect(0, "-e", self.JOB % (source, type))

    def test_headers_that_say_too_little(self):
        np.save(self.path("a.npy"), np.zeros(4, dtype=[("a", "<f4"), ("b", "<i2")]))
        self.refused('lsio.files("a.npy", { whole = true })', "i16", "a type that LSIO does not have: a structure")
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, %s)}" % b", ".join([b"1000000000000"] * 20)
        with open(self.path("a.npy"), "wb") as f:
            f.write(b"\x93NUMPY\x01\x00" + bytes([len(header) & 255, len(header) >> 8]) + header)
        self.refused('lsio.files("a.npy")', "f32", 'type = "f64"', "{ 0, 1000000000000, 1000000000000,", ", ... }")
        for data in (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\xff\xff" + bytes(6), b"\x93NUMPY" + bytes(10)):
            with open(self.path("a.npy"), "wb") as f:
                f.write(data)
            self.refused('lsio.files("a.npy")', "u16", "a.npy", "is not a valid .npy file")


if __name__ == "__main__":
    unittest.main()
