"""The state in --json: random ones, read back by Python, and what has no form in JSON. A failure prints its
seed: LSIO_SEED=N repeats it, LSIO_RUNS=N runs more of them."""
import codecs
import json
import math
import os
import random
import struct
import unittest

import numpy as np

from support import RunnerTest

JOB = """
local lsio = require "lsio"
local huge, nan = math.huge, 0 / 0
local function array(name, ...)
  local v = lsio.k.array(name, select("#", ...))
  for i = 1, v.n do v[i - 1] = select(i, ...) end
  return v
end
return lsio.job {
  source = lsio.files("one"), sink = lsio.raw("copy", { exists = "replace" }),
  state = %(state)s,
  init = function(state) %(init)s end,
  transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) end,
  %(finish)s
  reduce = %(reduce)s,
  done = function(result, info) print("done", info.status) end,
}
"""
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "u8": 8, "u16": 16, "u32": 32, "u64": 64}
FLOATS = {"f32": np.float32, "f64": np.float64}
EDGES = (0, 1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)
PIECES = (b"a", b'"', b"\\", b"\\x41", b"\n", b"\0", b"\x1f", b"\x7f", "\xe9".encode(), "\u20ac".encode(),
          "\U0001f600".encode(), b"\xff", b"\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")


def shown(data):
    """What --errors makes of bytes, by Python's judgement of what is UTF-8."""
    return data.decode("utf-8", "lsio_hex")


codecs.register_error("lsio_hex", lambda e: (
    "".join("\\x%02X" % b for b in e.object[e.start:e.end]), e.end))


class Values:
    """Draws values as pairs: the Lua text, and what JSON should give. Infinities and NaN are counted."""

    def __init__(self, rng):
        self.rng, self.nonfinite = rng, 0

    def integer(self, low, high):
        n = self.rng.choice((self.rng.choice(EDGES), -self.rng.choice(EDGES), self.rng.randint(-300, 300),
                             self.rng.randint(low, high)))
        return min(max(n, low), high)

    def int64(self, unsigned):
        n = self.integer(0, 2**64 - 1) if unsigned else self.integer(-2**63, 2**63 - 1)
        if unsigned:
            return "%dULL" % n, n
        return "%dLL" % n if n > -2**63 else "(-9223372036854775807LL - 1LL)", n

    def double(self, as_type=np.float64):
        x = self.rng.choice((
            struct.unpack("<d", self.rng.randbytes(8))[0], self.rng.uniform(-1e3, 1e3), 0.1, -0.0, 1e300, 5e-324,
            float(self.rng.randint(-2**60, 2**60)), math.inf, -math.inf, math.nan))
        with np.errstate(over="ignore", invalid="ignore"):
            kept = float(as_type(x))
        if not math.isfinite(kept):
            self.nonfinite += 1
        text = "nan" if x != x else "huge" if x == math.inf else "-huge" if x == -math.inf else x.hex()
        return text, kept if math.isfinite(kept) else None

    def text(self):
        data = b"".join(self.rng.choice(PIECES) for _ in range(self.rng.choice((0, 1, 3, 8))))
        if self.rng.random() < 0.2:
            data += self.rng.randbytes(5)
        return data, '"%s"' % "".join("\\%03d" % b for b in data)

    def element(self, name):
        if name in FLOATS:
            return self.double(FLOATS[name])
        if name in ("i64", "u64"):
            return self.int64(name == "u64")
        bits = BITS[name]
        n = self.integer(0, 2**bits - 1) if name[0] == "u" else self.integer(-2**(bits - 1), 2**(bits - 1) - 1)
        return str(n), n

    def array(self):
        name = self.rng.choice(sorted(BITS) + sorted(FLOATS))
        items = [self.element(name) for _ in range(self.rng.choice((1, 2, 9)))]
        return 'array("%s", %s)' % (name, ", ".join(i[0] for i in items)), [i[1] for i in items]

    def key(self):
        """Lua text, the name in JSON, and the number if it is one."""
        if self.rng.random() < 0.3:
            n = self.rng.choice((1, 2, 3, -7, 2**40, 0.5, -2.25, math.inf))
            return "huge" if n == math.inf else repr(n), "inf" if n == math.inf else repr(n), n
        data, text = self.text()
        return text, shown(data), None

    def table(self, depth):
        if self.rng.random() < 0.4:
            items = [self.value(depth + 1) for _ in range(self.rng.choice((1, 2, 5)))]
            return "{ %s }" % ", ".join(i[0] for i in items), [i[1] for i in items]
        lua, want, numbers = [], {}, []
        for _ in range(self.rng.choice((0, 1, 3, 6))):
            text, name, number = self.key()
            if name in want:
                continue
            x, want[name] = self.value(depth + 1)
            lua.append("[%s] = %s" % (text, x))
            numbers.append(number)
        if numbers and None not in numbers and sorted(numbers) == list(range(1, len(numbers) + 1)):
            want = [want[str(i)] for i in range(1, len(numbers) + 1)]
        return "{ %s }" % ", ".join(lua), want

    def value(self, depth=0):
        kinds = ["int", "uint", "double", "text", "bool", "array"] + (["table"] * 4 if depth < 5 else [])
        kind = self.rng.choice(kinds)
        if kind == "text":
            data, text = self.text()
            return text, shown(data)
        if kind == "bool":
            b = self.rng.random() < 0.5
            return str(b).lower(), b
        return {"int": lambda: self.int64(False), "uint": lambda: self.int64(True), "double": self.double,
                "array": self.array, "table": lambda: self.table(depth)}[kind]()


class State(RunnerTest):
    def setUp(self):
        super().setUp()
        self.write("one", "x")

    def job(self, value, reduce="function(a) return a end"):
        return JOB % {"state": "function() return {} end", "init": "", "reduce": reduce,
                      "finish": "finish = function() return %s end," % value}

    def strict(self):
        """The summary by a reader that takes no NaN, no name twice, and nothing but UTF-8."""
        def pairs(items):
            self.assertEqual(len(items), len({k for k, _ in items}), items)
            return dict(items)

        def constant(name):
            raise ValueError(name)
        with open(self.path("s.json"), encoding="utf-8") as f:
            return json.load(f, object_pairs_hook=pairs, parse_constant=constant)

    def same(self, got, want, what):
        self.assertIs(isinstance(got, bool), isinstance(want, bool), what)
        if isinstance(want, list):
            self.assertEqual((type(got), len(got)), (list, len(want)), what)
            for g, w in zip(got, want):
                self.same(g, w, what)
        elif isinstance(want, dict):
            self.assertEqual(sorted(got), sorted(want), what)
            for key in want:
                self.same(got[key], want[key], what)
        else:
            self.assertEqual(got, want, what)
            if isinstance(want, int):  # digits, not 1.8e19
                self.assertIsInstance(got, int, what)

    def seeds(self, runs):
        if os.environ.get("LSIO_SEED"):
            return [int(os.environ["LSIO_SEED"])]
        return [int.from_bytes(os.urandom(4), "little") for _ in range(int(os.environ.get("LSIO_RUNS", runs)))]

    def check(self, seed, job, want, nonfinite):
        r = self.run_lsio("-j1", "--json=s.json", "-e", job)
        what = "LSIO_SEED=%d: %r\n%s" % (seed, r, job)
        self.assertEqual((r.code, r.out), (0, "done\tdone\n"), what)
        s = self.strict()
        self.same(s["state"], want, what)
        self.assertEqual((s["state_nonfinite"], s["state_error"]), (nonfinite, None), what)

    def test_random_values(self):
        for seed in self.seeds(60):
            v = Values(random.Random(seed))
            lua, want = v.value() if seed % 4 == 0 else v.table(0)
            if not isinstance(want, (dict, list)) or lua.startswith("array"):
                want = {"result": want}
            self.check(seed, self.job(lua), {} if want == [] else want, v.nonfinite)

    def test_random_structs(self):
        for seed in self.seeds(30):
            v = Values(random.Random(seed))
            fields, init, want = [], [], {}
            for i in range(v.rng.randint(1, 12)):
                name, n = v.rng.choice(sorted(BITS) + sorted(FLOATS)), v.rng.choice((0, 0, 1, 5))
                fields.append("%s f%d%s;" % (name, i, "[%d]" % n if n else ""))
                items = [v.element(name) for _ in range(n or 1)]
                for k, (lua, _) in enumerate(items):
                    init.append("state.f%d%s = %s" % (i, "[%d]" % k if n else "", lua))
                want["f%d" % i] = [w for _, w in items] if n else items[0][1]
            job = JOB % {"state": '"%s"' % " ".join(fields), "init": " ".join(init), "finish": "", "reduce": '"max"'}
            self.check(seed, job, want, v.nonfinite)

    def test_what_was_null(self):
        value = '{ a = 18446744073709551615ULL, b = "\\255", c = 9223372036854775808ULL, d = 0 / 0, e = { ["a\\0b"] = 1 } }'
        self.expect(0, "--json=s.json", "-e", self.job(value))
        s = self.strict()
        self.assertEqual(s["state"], {"a": 2**64 - 1, "b": "\\xFF", "c": 2**63, "d": None, "e": {"a\0b": 1}})
        self.assertEqual((s["state_nonfinite"], s["state_error"]), (1, None))

    def test_what_has_merged_it(self):
        for reduce, want in (('"max"', "max"), ('{ a = "sum", b = "none" }', {"a": "sum", "b": "none"}),
                             ("function(a) return a end", "function")):
            self.expect(0, "-j1", "--json=s.json", "-e", self.job("{ a = 1, b = 2 }", reduce))
            self.assertEqual(self.strict()["reduce"], want)
        self.expect(0, "--json=s.json", "-e", "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('*') }")
        self.assertIsNone(self.strict()["reduce"])

    def refused(self, value, *words, reduce="function(a) return a end"):
        job = self.job(value, reduce)
        r = self.expect(6, "-j1", "--json=s.json", "--errors=e.jsonl", "-e", job)
        self.assertEqual(r.out, "done\tdone\n")
        s = self.strict()
        self.assertEqual((s["status"], s["exit_code"], s["state"]), ("done", 6, None))
        self.assertEqual((s["error_count"], s["errors"]), (0, []))
        self.assertEqual(s["state_error"]["code"], "LSIO_ERR_OUTPUT")
        for word in words:
            self.assertIn(word, s["state_error"]["message"])
            self.assertIn(word, r.err)
        with open(self.path("e.jsonl"), encoding="utf-8") as f:
            self.assertEqual([json.loads(line) for line in f], [s["state_error"]])
        with open(self.path("copy")) as f:
            self.assertEqual(f.read(), "x")
        # It is the report that fails: who asks for none hears nothing.
        self.assertEqual(self.expect(0, "-q", "-e", job).err, "")

    def test_keys_that_are_one(self):
        self.refused('{ [1] = 2, ["1"] = 3 }', 'the number 1 and the string "1"', "can't be written as JSON")
        self.refused('{ a = { { [0.5] = 2, ["0.5"] = 3 } } }', "0.5", "at a[1]")
        self.refused('{ x = { ["\\255"] = 2, ["\\\\xFF"] = 3 } }', "two keys", "at x")

    def test_random_keys_that_are_one(self):
        for seed in self.seeds(15):
            v = Values(random.Random(seed))
            n = v.rng.choice((1, 2, -3, 2.5, 2**50))
            lua = '{ [%r] = 1, ["%r"] = 2, more = %s }' % (n, n, v.value(1)[0])
            for _ in range(v.rng.randrange(4)):
                lua = "{ %s, %s }" % (v.value(3)[0], lua)
            try:
                self.refused(lua, "%r" % n)
            except AssertionError as e:
                raise AssertionError("LSIO_SEED=%d: %s" % (seed, lua)) from e

    def test_skipped_steps(self):
        job = self.job('{ [1] = 2, ["1"] = 3 }').replace(
            "lsio.k.copy(chunk.data, chunk.n, chunk.out)", 'error "no"').replace(
            "sink =", 'on_error = "skip", fill = 0, sink =')
        self.expect(6, "--json=s.json", "-e", job)
        s = self.strict()
        self.assertEqual((s["status"], s["exit_code"], s["steps_failed"]), ("skipped", 6, 1))


if __name__ == "__main__":
    unittest.main()
