"""lsio.k as a job calls it, against numpy and hashlib: order of elements, groups, hashes."""
import ctypes
import ctypes.util
import hashlib
import subprocess
import unittest

import numpy as np

from kernel_support import TYPES, KernelTest, dtype


class Order(KernelTest):
    def test_flip(self):
        body = ""
        for t, c in TYPES.items():
            self.put(t, self.values(t))
            body += """do local a, n = load("%s", "%s") local b = array("%s", n)
                       k.flip(a, n, b) save("%s.out", b) k.flip(a, nil, a) save("%s.self", a) end\n""" % (
                t, c, c, t, t)
        self.lua(body)
        for t in TYPES:
            self.same(self.get(t + ".out", t), self.get(t, t)[::-1])
            self.same(self.get(t + ".self", t), self.get(t, t)[::-1])

    def test_flip_refuses(self):
        self.assertEqual(self.lua("""
            local a, b = array("float", 8), array("int32_t", 8)
            refused(k.flip, a, 8, b)
            refused(k.flip, a, 9, a)
            refused(k.flip, a, 8, array("float", 7))
            refused(k.flip, a, 8, chunk.data)
            refused(k.flip, a, 8)
            refused(k.flip, {}, 8, a)"""), [
            "flip: src is f32, but dst is i32",
            "flip: n is 9, not a whole number from 0 to 8",
            "flip: dst has 7 elements, 8 are to be written",
            "flip: dst is read-only; write to chunk.out or chunk.scratch",
            "flip: dst: nil is not a view or an FFI array",
            "flip: a table is not a view or an FFI array"])

    def test_delta(self):
        body = ""
        for t, c in TYPES.items():
            v = self.values(t)
            self.put(t, v[~np.isnan(v)])
            body += """do local a, n = load("%(t)s", "%(c)s") local b, d = array("%(c)s", n), array("%(c)s", n)
                k.delta(a, n, b) save("%(t)s.delta", b) k.undelta(b, n, d) save("%(t)s.back", d)
                k.delta(a, n, a) k.undelta(a, n, a) save("%(t)s.in", a) end\n""" % {"t": t, "c": c}
        self.lua(body)
        for t in TYPES:
            v = self.get(t, t)
            self.same(self.get(t + ".delta", t), np.concatenate([v[:1], np.diff(v)]))
            self.same(self.get(t + ".back", t), np.cumsum(self.get(t + ".delta", t), dtype=v.dtype))
            self.same(self.get(t + ".back", t), v)
            self.same(self.get(t + ".in", t), v)

    def test_transpose(self):
        body = ""
        for t, c in TYPES.items():
            self.put(t, self.values(t))
            body += """do local a = load("%(t)s", "%(c)s") local b = array("%(c)s", 17 * 59)
                k.transpose(a, 17, 59, b) save("%(t)s.t", b) end\n""" % {"t": t, "c": c}
        self.lua(body)
        for t in TYPES:
            self.same(self.get(t + ".t", t).reshape(59, 17), self.get(t, t).reshape(17, 59).T)

    def test_shuffle(self):
        data = self.put("a", self.random.integers(0, 256, 1003).astype("u1"))
        body = 'local a, n = load("a", "uint8_t") local b, d = array("uint8_t", n), array("uint8_t", n)\n'
        sizes = [1, 2, 3, 4, 7, 8, 12, 16, 32, 1003, 2000]
        for size in sizes:
            body += """k.shuffle(a, n, b, %d) save("s%d", b) k.unshuffle(b, n, d, %d)
                assert(ffi.string(a, n) == ffi.string(d, n))\n""" % (size, size, size)
        body += """local f = array("float", 250) ffi.copy(f, a, 1000)
            k.shuffle(f, nil, b) k.unshuffle(b, 1000, f) assert(ffi.string(f, 1000) == ffi.string(a, 1000))
            save("s", b)"""
        self.lua(body)
        for size in sizes:
            whole = len(data) // size * size
            want = np.concatenate([data[:whole].reshape(-1, size).T.ravel(), data[whole:]])
            self.same(self.get("s%d" % size, "u8"), want)
        self.same(self.get("s", "u8")[:1000], data[:1000].reshape(-1, 4).T.ravel())

    def test_copy_strided(self):
        v = self.put("a", self.values("i16", 4000))
        self.lua("""
            local a = load("a", "int16_t")
            local d = array("int16_t", 1000)
            k.copy_strided(a, { 5, 6, 7 }, d, { 420, 21, 1 }, nil, 3)              save("1", d)
            k.copy_strided(a, { 10, 20 }, d, { -20, -1 }, { 1, 10 }, 199, 100)     save("2", d)
            k.copy_strided(a, { 4, 1, 25 }, d, { 0, 77, 2 }, nil, 1)               save("3", d)
            k.copy_strided(a, {}, d, {}, {}, 7, 999)                               save("4", d)
            k.copy_strided(a, { 3, 0 }, d, { 5000, 1 })                            save("5", d)
            k.copy_strided(a, { 2, 2, 2, 2, 2, 2, 2, 2 }, d, { 1, 2, 4, 8, 16, 32, 64, 128 })  save("6", d)""")
        d = np.zeros(1000, "i2")
        box = np.lib.stride_tricks.as_strided
        d[:210] = box(v[3:], (5, 6, 7), (840, 42, 2)).ravel()
        self.same(self.get("1", "i16"), d)
        d[100:300] = v[:200][::-1].reshape(10, 20).T.ravel()
        self.same(self.get("2", "i16"), d)
        d[:100] = np.tile(v[1:51:2], 4)
        self.same(self.get("3", "i16"), d)
        d[999] = v[7]
        self.same(self.get("4", "i16"), d)
        self.same(self.get("5", "i16"), d)
        d[:256] = v[:256].reshape([2] * 8).T.ravel()
        self.same(self.get("6", "i16"), d)

    def test_refuse(self):
        self.assertEqual(self.lua("""
            local a, b, d = array("float", 8), array("float", 8), array("double", 8)
            refused(k.delta, a, 8, d)
            refused(k.undelta, a, 8, array("float", 7))
            refused(k.transpose, a, 2, 5, b)
            refused(k.transpose, a, 2, 4, array("float", 7))
            refused(k.transpose, a, 2, 4, a)
            refused(k.transpose, a, -1, 4, b)
            refused(k.transpose, a, 4503599627370496, 4503599627370496, b)
            refused(k.shuffle, a, 8, array("uint8_t", 31))
            refused(k.shuffle, a, 8, b, 0)
            refused(k.unshuffle, a, 8, a)
            refused(k.copy_strided, a, { 9 }, b)
            refused(k.copy_strided, a, { 2, 4 }, b, { 4, 1 }, { 5, 1 })
            refused(k.copy_strided, a, { 2 }, b, { -1 })
            refused(k.copy_strided, a, { 2 }, b, { 9007199254740992 })
            refused(k.copy_strided, a, { 9007199254740992 }, b, { 9007199254740992 })
            refused(k.copy_strided, a, { -1 }, b)
            refused(k.copy_strided, a, { 2 }, b, { 0.5 })
            refused(k.copy_strided, a, { 2 }, b, { 1, 1 })
            refused(k.copy_strided, a, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, b)
            refused(k.copy_strided, a, 3, b)
            refused(k.copy_strided, a, { 8 }, a)
            refused(k.copy_strided, a, { 1 }, chunk.data)
            refused(k.copy_strided, a, { 1 }, b, nil, nil, 8)"""), [
            "delta: src is f32, but dst is f64",
            "undelta: dst has 7 elements, 8 are to be written",
            "transpose: src has 8 elements, 2 x 5 are to be read",
            "transpose: dst has 7 elements, 8 are to be written",
            "transpose: src and dst overlap",
            "transpose: rows is -1, not a whole number from 0",
            "transpose: src has 8 elements, 4503599627370496 x 4503599627370496 are to be read",
            "shuffle: dst has 31 bytes, 32 are to be written",
            "shuffle: the size of an item is 0, not a whole number from 1 to 2147483647",
            "unshuffle: src and dst overlap",
            "copy_strided: the box leaves src, which has 8 elements",
            "copy_strided: the box leaves dst, which has 8 elements",
            "copy_strided: the box leaves src, which has 8 elements",
            "copy_strided: the box leaves src, which has 8 elements",
            "copy_strided: the box leaves src, which has 8 elements",
            "copy_strided: a length of shape is negative",
            "copy_strided: src_strides[1] is 0.5, not a whole number",
            "copy_strided: src_strides must be a table of 1 numbers, one for each of shape's",
            "copy_strided: shape must be a table of up to 8 numbers, not a table",
            "copy_strided: shape must be a table of up to 8 numbers, not 3",
            "copy_strided: src and dst overlap",
            "copy_strided: dst is read-only; write to chunk.out or chunk.scratch",
            "copy_strided: the box leaves src, which has 8 elements"])


class Groups(KernelTest):
    def test_groups(self):
        body, groups = "", 90
        keys = {}
        for t, c in list(TYPES.items())[:8]:
            keys[t] = self.put("k" + t, self.random.integers(0 if t[0] == "u" else -20, 120, 1003).astype(dtype(t)))
            body += 'local c = array("double", 90) print(k.group_count(load("k%s", "%s"), nil, 90, c)) save("c%s", c)\n' % (t, c, t)
            for v, vc in TYPES.items():
                if t == "i8":
                    self.put("v" + v, self.values(v))
                body += """do local s = array("double", 90) local v, n = load("v%s", "%s")
                    print(k.group_sum(v, n, load("k%s", "%s"), 90, s)) save("s%s.%s", s) end\n""" % (v, vc, t, c, t, v)
        lines = [int(line) for line in self.lua(body)]
        for t, key in keys.items():
            key = key.astype("i8")
            ok = (key >= 0) & (key < groups)
            self.assertEqual(lines.pop(0), np.count_nonzero(~ok))
            self.same(self.get("c" + t, "f64"), np.bincount(key[ok], minlength=groups))
            for v in TYPES:
                self.assertEqual(lines.pop(0), np.count_nonzero(~ok))
                want = np.bincount(key[ok], self.get("v" + v, v)[ok], minlength=groups)
                self.same(self.get("s%s.%s" % (t, v), "f64"), want)

    def test_refuse(self):
        self.assertEqual(self.lua("""
            local v, i, s = array("float", 8), array("int32_t", 8), array("double", 4)
            refused(k.group_sum, v, 8, v, 4, s)
            refused(k.group_sum, v, 8, i, 5, s)
            refused(k.group_sum, v, 8, array("int32_t", 7), 4, s)
            refused(k.group_sum, v, 8, i, 0, s)
            refused(k.group_sum, v, 8, i, 2, v)
            refused(k.group_count, v, 8, 4, s)
            refused(k.group_count, i, 8, 4, chunk.data)
            refused(k.group_count, i, 8, 2147483648, s)"""), [
            "group_sum: keys is f32; a key is an integer",
            "group_sum: sums has 4 elements, 5 are to be written",
            "group_sum: keys has 7 elements, 8 are to be read",
            "group_sum: groups is 0, not a whole number from 1 to 2147483647",
            "group_sum: sums must be f64, not f32",
            "group_count: keys is f32; a key is an integer",
            "group_count: counts is read-only; write to chunk.out or chunk.scratch",
            "group_count: groups is 2147483648, not a whole number from 1 to 2147483647"])


class Hashes(KernelTest):
    def test_sha256(self):
        data = self.random.bytes(70001)
        with open(self.path("a"), "wb") as f:
            f.write(data)
        lines = self.lua("""
            local a, n = load("a", "uint8_t")
            for _, m in ipairs { 0, 1, 55, 56, 63, 64, 65, 1000, n } do print(k.sha256(a, m)) end
            print(k.sha256(load("a", "uint8_t")), k.sha256(load("a", "int32_t"), 100))
            local h = k.sha256_begin()
            print(h:hex())
            h:update(a, 1000)
            print(h:hex())
            local other = k.sha256_begin()
            other:update(a, 5)
            h:update(ffi.new("uint8_t[1]", a[1000]))
            print(h:hex(), h:hex(), k.sha256(a, 3))
            h:reset()
            h:update(a, 64)
            local d = array("uint8_t", 40)
            h:bytes(d)
            print(h:hex(), other:hex()) save("d", d)
            k.sha256(a, 64, d) save("e", d)
            local seen = { [k.sha256(a, 9)] = 1 }
            print(seen[k.sha256(a, 9)])
            refused(k.sha256, a, 70002)
            refused(k.sha256, a, 1, array("uint8_t", 31))
            refused(k.sha256, a, 1, array("float", 32))
            refused(k.sha256, "text")
            refused(h.update, h, a, -1)
            refused(h.update, h)
            refused(h.bytes, h, chunk.data)""")
        sha = [hashlib.sha256(data[:n]).hexdigest() for n in (0, 1, 55, 56, 63, 64, 65, 1000, 70001, 70001, 400, 0, 1000,
                                                               1001, 1001, 3, 64, 5)]
        self.assertEqual("\n".join(lines[:15]).replace("\t", "\n").split("\n"), sha + ["1"])
        self.assertEqual(lines[15:], [
            "sha256: n is 70002, not a whole number from 0 to 70001",
            "sha256: dst has 31 elements, 32 are to be written",
            "sha256: dst must be u8, not f32",
            'sha256: "text" is not a view or an FFI array',
            "update: n is -1, not a whole number from 0 to 70001",
            "update: nil is not a view or an FFI array",
            "bytes: dst is read-only; write to chunk.out or chunk.scratch"])
        for name in "de":
            self.assertEqual(self.get(name, "u8").tobytes(), hashlib.sha256(data[:64]).digest() + bytes(8))

    def test_manifest(self):
        """Hashes of files as a job makes them, whole and from chunks of one worker in order."""
        for i in range(20):
            with open(self.path("f%02d" % i), "wb") as f:
                f.write(self.random.bytes(1000 * i))
        out = self.expect(0, "-j2", "-e", """
            local lsio = require "lsio"
            return lsio.job { source = lsio.files("f*", { whole = true }), transform = function(c)
              print(lsio.k.sha256(c.data) .. "  " .. c.name) end }""").out
        self.assertEqual(subprocess.run(["sha256sum", "--check", "--quiet"], input=out.encode(), cwd=self.dir).returncode, 0)
        self.assertEqual(len(out.splitlines()), 20)
        out = self.expect(0, "-j1", "-e", """
            local lsio = require "lsio"
            local h
            return lsio.job { source = lsio.files("f19", { chunk = 700 }), state = "double n;", reduce = function(a) return a end,
              transform = function(c, s)
                h = h or lsio.k.sha256_begin()
                assert(c.offset == s.n) s.n = s.n + c.n
                h:update(c.data)
              end, finish = function() return h:hex() end, done = print }""").out
        with open(self.path("f19"), "rb") as f:
            self.assertEqual(out.split()[0], hashlib.sha256(f.read()).hexdigest())

    def test_xxh3(self):
        data = self.put("a", self.random.integers(0, 256, 5000).astype("u1"))
        lines = self.lua("""
            local a, n = load("a", "uint8_t")
            for _, m in ipairs { 0, 1, 8, 16, 17, 128, 129, 240, 241, 1024, n } do print(k.xxh3_64(a, m)) end
            local d = array("uint64_t", 2)
            k.xxh3_64(a, n, d) save("d", d)
            print(({ [k.xxh3_64(a, 5)] = "found" })[k.xxh3_64(a, 5)])
            refused(k.xxh3_64, a, n, array("double", 1))
            refused(k.xxh3_64, a, n, array("uint64_t", 0))
            refused(k.xxh3_64, a, 5001)""")
        # of no bytes, by the specification; whole: see xxhash_of
        self.assertEqual(lines[0], "2d06800538d394c2")
        self.assertEqual(len(set(lines[:11])), 11)
        self.assertEqual("%016x" % self.get("d", "u64")[0], lines[10])
        self.assertEqual(lines[11:], [
            "found",
            "xxh3_64: dst must be u64, not f64",
            "xxh3_64: dst has 0 elements, 1 are to be written",
            "xxh3_64: n is 5001, not a whole number from 0 to 5000"])
        library = ctypes.util.find_library("xxhash")
        if not library:
            self.skipTest("no libxxhash to compare with")
        f = ctypes.CDLL(library).XXH3_64bits
        f.restype, f.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
        for line, n in zip(lines, (0, 1, 8, 16, 17, 128, 129, 240, 241, 1024, 5000)):
            self.assertEqual(line, "%016x" % f(data.tobytes(), n), n)


if __name__ == "__main__":
    unittest.main()
