"""lsio.k as a job calls it, against numpy: masks, selection, arithmetic, and the messages about wrong
arguments."""
import unittest

import numpy as np

from kernel_support import FLOATS, TYPES, KernelTest, dtype


class Masks(KernelTest):
    OPS = {"gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
           "eq": np.equal, "ne": np.not_equal}

    def test_compare(self):
        body = ""
        for t, c in TYPES.items():
            a, b = self.put(t, self.values(t)), self.values(t)
            b[::5] = a[::5]
            self.put(t + ".b", b)
            body += 'do local a, n = load("%s", "%s") local b = load("%s.b", "%s")\n' % (t, c, t, c)
            for op in self.OPS:
                body += """local m = array("uint8_t", n)
                    k.%(op)s(a, n, m, 12) save("%(t)s.%(op)s", m)
                    assert(k.count(m) == k.sum(m))
                    k.%(op)s(a, n, m, b) save("%(t)s.%(op)s.each", m)\n""" % {"op": op, "t": t}
            body += 'local m = array("uint8_t", n) k.between(a, n, m, -2.5, 30) save("%s.between", m) end\n' % t
        self.lua(body)
        for t in TYPES:
            a, b = self.get(t, t), self.get(t + ".b", t)
            for op, f in self.OPS.items():
                self.same(self.get("%s.%s" % (t, op), "u8"), f(a, 12))
                self.same(self.get("%s.%s.each" % (t, op), "u8"), f(a, b))
            self.same(self.get(t + ".between", "u8"), (a >= -2.5) & (a <= 30))

    def test_where_and_logic(self):
        m, w = (self.put(name, self.random.integers(0, 3, 1003).astype("u1")) for name in "mw")
        body = 'local m, n = load("m", "uint8_t") local w = load("w", "uint8_t") local r = array("uint8_t", n)\n'
        for op in ("band", "bor"):
            body += 'k.%s(m, n, r, w) save("%s", r)\n' % (op, op)
        body += 'k.bnot(m, n, r) save("bnot", r) print(k.count(m), k.count(m, 100))\n'
        for t, c in TYPES.items():
            self.put(t, self.values(t))
            self.put(t + ".b", self.values(t))
            body += """do local a, b, d = load("%(t)s", "%(c)s"), load("%(t)s.b", "%(c)s"), array("%(c)s", n)
                k.where(m, n, d, a, b) save("%(t)s.1", d)
                k.where(m, n, d, a, 300.5) save("%(t)s.2", d)
                k.where(m, n, d, -7, b) save("%(t)s.3", d)
                k.where(m, n, d, 1, 2) save("%(t)s.4", d)
                k.where(m, n, a, a, b) save("%(t)s.5", a) end\n""" % {"t": t, "c": c}
        self.assertEqual(self.lua(body)[0].split(), [str(np.count_nonzero(m)), str(np.count_nonzero(m[:100]))])
        self.same(self.get("band", "u8"), (m != 0) & (w != 0))
        self.same(self.get("bor", "u8"), (m != 0) | (w != 0))
        self.same(self.get("bnot", "u8"), m == 0)
        for t in TYPES:
            a, b = self.get(t, t), self.get(t + ".b", t)
            low, high = (-np.inf, np.inf) if t in FLOATS else (np.iinfo(a.dtype).min, np.iinfo(a.dtype).max)
            upper = np.array(min(300.5 if t in FLOATS else 300, high), a.dtype)
            lower = np.array(max(-7, low), a.dtype)
            for i, want in enumerate([np.where(m, a, b), np.where(m, a, upper), np.where(m, lower, b),
                                      np.where(m, 1, 2), np.where(m, a, b)]):
                self.same(self.get("%s.%d" % (t, i + 1), t), want)

    def test_array(self):
        self.assertEqual(self.lua("""
            local views = {}
            for i = 1, 200 do views[i] = k.array("u16", 1000) k.fill(views[i], nil, i) end
            collectgarbage() collectgarbage()
            local sum = 0
            for i = 1, 200 do sum = sum + k.sum(views[i]) end
            print(sum, views[1].n, views[1].type, k.sum(k.array("f64", 3)), k.array("<i4", 0).type)
            refused(k.array, "f16", 3)
            refused(k.array, "f32be", 3)
            refused(k.array, "f32", -1)
            refused(k.array, "f32")"""), [
            "20100000\t1000\tu16\t0\ti32",
            'array: "f16" is no element type; write u8, f32, f64, ...',
            'array: "f32be" is big-endian; views are in native order',
            "array: n is -1, not a whole number from 0",
            "array: n is nil, not a whole number from 0"])

    def test_refuse(self):
        self.assertEqual(self.lua("""
            local a, m, d = array("float", 8), array("uint8_t", 8), array("int32_t", 8)
            refused(k.gt, a, 8, a, 1)
            refused(k.gt, a, 8, m, "x")
            refused(k.gt, a, 8, m, d)
            refused(k.gt, a, 8, m, array("float", 7))
            refused(k.gt, a, 8, array("uint8_t", 7), 1)
            refused(k.lt, a, 8, chunk.data, 1)
            refused(k.between, a, 8, m, 1)
            refused(k.where, a, 8, a, 1, 2)
            refused(k.where, m, 8, a, d, 2)
            refused(k.where, m, 8, a, 1, {})
            refused(k.where, m, 8, m, 1, array("uint8_t", 3))
            refused(k.band, m, 8, m, a)
            refused(k.band, m, 8, m)
            refused(k.bnot, a, 8, m)
            refused(k.count, a)"""), [
            "gt: dst is f32; a mask is u8",
            'gt: the value to compare with must be a number or a view, not "x"',
            "gt: src is f32, but the value to compare with is i32",
            "gt: the value to compare with has 7 elements, 8 are to be read",
            "gt: dst has 7 elements, 8 are to be written",
            "lt: dst is read-only; write to chunk.out or chunk.scratch",
            "between: hi must be a number, not nil",
            "where: mask is f32; a mask is u8",
            "where: a is i32, but dst is f32",
            "where: b must be a number or a view, not a table",
            "where: b has 3 elements, 8 are to be read",
            "band: b is f32; a mask is u8",
            "band: b: nil is not a view or an FFI array",
            "bnot: src is f32; a mask is u8",
            "count: mask is f32; a mask is u8"])


class Select(KernelTest):
    def test_arg(self):
        body = ""
        for t, c in TYPES.items():
            v = self.values(t)
            self.put(t, v[~np.isnan(v)])
            self.put(t + ".nan", v)
            for name in (t, t + ".nan"):
                body += 'do local a, n = load("%s", "%s") print(k.argmin(a, n)) print(k.argmax(a)) end\n' % (name, c)
        lines = self.lua(body + "print(k.argmin(array('float', 3), 0))")
        self.assertEqual(lines.pop(), "nil")
        for t in TYPES:
            for v in (self.get(t, t), self.get(t + ".nan", t)):
                for f in (np.argmin, np.argmax):
                    index, value = lines.pop(0).split("\t")
                    self.assertEqual(int(index), f(v))
                    self.same(float(value), v[f(v)])

    def test_topk(self):
        body = ""
        for t, c in TYPES.items():
            self.put(t, self.values(t))
            for most, kind in ((10, "int64_t"), (1003, "double"), (64, "uint64_t")):
                body += """do local a, n = load("%s", "%s") local v, i = array("%s", %d), array("%s", %d)
                    print(k.topk(a, n, %d, v, i)) save("%s.v%d", v) save("%s.i%d", i) end\n""" % (
                    t, c, c, most, kind, most, most, t, most, t, most)
        found = [int(line) for line in self.lua(body)]
        for t in TYPES:
            v = self.get(t, t)
            order = np.argsort(-v.astype("f8"), kind="stable")[:np.count_nonzero(v == v)]
            for most, kind in ((10, "i64"), (1003, "f64"), (64, "u64")):
                n = found.pop(0)
                self.assertEqual(n, min(most, len(order)))
                self.same(self.get("%s.i%d" % (t, most), kind)[:n], order[:n])
                self.same(self.get("%s.v%d" % (t, most), t)[:n], v[order[:n]])

    def test_refuse(self):
        self.assertEqual(self.lua("""
            local a, v, i = array("float", 8), array("float", 4), array("double", 4)
            refused(k.argmin, 5)
            refused(k.argmax, a, 9)
            refused(k.topk, a, 8, 5, v, i)
            refused(k.topk, a, 8, 4, v, array("int64_t", 3))
            refused(k.topk, a, 8, 4, v, v)
            refused(k.topk, a, 8, 4, i, i)
            refused(k.topk, a, 8, 1.5, v, i)
            refused(k.topk, a, 8, 4, chunk.data, i)
            refused(k.topk, a, 8, 4, a, i)"""), [
            "argmin: 5 is not a view or an FFI array",
            "argmax: n is 9, not a whole number from 0 to 8",
            "topk: values has 4 elements, 5 are to be written",
            "topk: indices has 3 elements, 4 are to be written",
            "topk: indices is f32, not i64, u64 or f64",
            "topk: src is f32, but values is f64",
            "topk: k is 1.5, not a whole number from 0",
            "topk: values is read-only; write to chunk.out or chunk.scratch",
            "topk: src and values overlap"])


class Pairs(KernelTest):
    OPS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}

    def test_arithmetic(self):
        body = ""
        for t, c in TYPES.items():
            self.put(t, self.values(t))
            self.put(t + ".b", self.values(t)[::-1])
            body += 'do local a, n = load("%s", "%s") local b, d = load("%s.b", "%s"), array("%s", n)\n' % (t, c, t, c, c)
            for op in self.OPS:
                body += 'k.%s(a, n, d, b) save("%s.%s", d)\n' % (op, t, op)
            for to in FLOATS:
                body += 'local q = array("%s", n) k.div(a, n, q, b) save("%s.div.%s", q)\n' % (TYPES[to], t, to)
            body += 'k.add(a, n, a, b) k.sub(a, n, b, b) save("%s.in", b) end\n' % t
        self.lua(body)
        with np.errstate(all="ignore"):
            for t in TYPES:
                a, b = self.get(t, t), self.get(t + ".b", t)
                for op, f in self.OPS.items():
                    self.same(self.get("%s.%s" % (t, op), t), f(a, b))
                for to in FLOATS:
                    quotient = (a.astype("f8") / b.astype("f8")).astype(dtype(to))
                    self.same(self.get("%s.div.%s" % (t, to), to), quotient)
                self.same(self.get(t + ".in", t), a + b - b)

    def test_add_valid(self):
        body = 'local s, c = array("double", 1003), array("double", 1003)\n'
        sums, counts = np.zeros(1003), np.zeros(1003)
        valid = []
        for t, c in TYPES.items():
            v = self.put(t, self.values(t))
            body += 'print(k.add_valid(load("%s", "%s"), 1000, s, c))\n' % (t, c)
            ok = (v == v) & (np.arange(1003) < 1000)
            valid.append(str(np.count_nonzero(ok)))
            sums[ok] += v[ok]
            counts += ok
        self.assertEqual(self.lua(body + 'save("s", s) save("c", c)'), valid)
        self.same(self.get("s", "f64"), sums)
        self.same(self.get("c", "f64"), counts)

    def test_refuse(self):
        self.assertEqual(self.lua("""
            local a, i, d = array("float", 8), array("int32_t", 8), array("double", 8)
            refused(k.add, a, 8, a, 5)
            refused(k.add, a, 8, a, i)
            refused(k.add, a, 8, i, a)
            refused(k.sub, a, 8, a, array("float", 7))
            refused(k.mul, a, 8, array("float", 7), a)
            refused(k.mul, 1, 8, a, a)
            refused(k.div, i, 8, i, i)
            refused(k.div, i, 8, chunk.data, i)
            refused(k.add_valid, a, 8, a, d)
            refused(k.add_valid, a, 8, d, array("double", 5))
            refused(k.add_valid, a, 8, d, d)"""), [
            "add: b must be a view, not 5; scale_offset takes numbers",
            "add: a is f32, but b is i32",
            "add: a is f32, but dst is i32",
            "sub: b has 7 elements, 8 are to be read",
            "mul: dst has 7 elements, 8 are to be written",
            "mul: a: 1 is not a view or an FFI array",
            "div: dst is i32; a quotient is f32 or f64",
            "div: dst is read-only; write to chunk.out or chunk.scratch",
            "add_valid: sums must be f64, not f32",
            "add_valid: counts has 5 elements, 8 are to be written",
            "add_valid: sums and counts overlap"])


if __name__ == "__main__":
    unittest.main()
