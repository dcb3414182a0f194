"""Runs every example job of scripts/ as a user would and holds its output against numpy."""
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

try:
    import blosc
except ImportError:
    blosc = None

ROOT = os.environ.get("LSIO_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
RUNNER = os.environ.get("LSIO_RUNNER") or os.path.join(ROOT, "build", "lsio-lua")
SEED = 20261125


class FrameInfo(ctypes.Structure):
    _fields_ = [("block_size", ctypes.c_int), ("block_mode", ctypes.c_int),
                ("content_checksum", ctypes.c_int), ("frame_type", ctypes.c_int),
                ("content_size", ctypes.c_ulonglong), ("dictionary", ctypes.c_uint),
                ("block_checksum", ctypes.c_int)]


class Preferences(ctypes.Structure):
    _fields_ = [("frame", FrameInfo), ("level", ctypes.c_int), ("flush", ctypes.c_uint),
                ("favor", ctypes.c_uint), ("reserved", ctypes.c_uint * 3)]


lz4 = ctypes.CDLL("liblz4.so.1")
for name in ("LZ4F_compressFrameBound", "LZ4F_compressFrame"):
    getattr(lz4, name).restype = ctypes.c_size_t


def compress(data, say_size=True, checksum=False):
    """One lz4 frame, with or without its decoded size in the header."""
    p = Preferences()
    p.frame.content_size = len(data) if say_size else 0
    p.frame.content_checksum = int(checksum)
    size = lz4.LZ4F_compressFrameBound(ctypes.c_size_t(len(data)), ctypes.byref(p))
    out = ctypes.create_string_buffer(size)
    n = lz4.LZ4F_compressFrame(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)),
                               ctypes.byref(p))
    assert 0 < n <= size, n
    return out.raw[:n]


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Example(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lsio-examples-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.random = np.random.default_rng(SEED)

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.tobytes())

    def run_job(self, script, *args, **more):
        return self.result_of(script, *args, **more).stdout

    def result_of(self, script, *args, options=(), exit_code=0, stdout=subprocess.PIPE):
        command = [RUNNER, "--progress", "never", *options,
                   os.path.join(ROOT, "scripts", script), *args]
        result = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(exit_code, result.returncode,
                         "%s\n%s%s" % (" ".join(command), result.stdout, result.stderr))
        return result

    def load(self, name):
        return np.load(os.path.join(self.folder, name))

    def lz4_files(self, sizes):
        """Files of float32; of every other one the header does not say how much it decodes to."""
        parts = []
        for i, n in enumerate(sizes):
            part = np.round(self.random.normal(size=n) * 64).astype("<f4") / 64
            self.write("%04d.f32.lz4" % i, compress(part.tobytes(), say_size=i % 2 == 0,
                                                    checksum=i % 3 == 0))
            parts.append(part)
        return np.concatenate(parts)


class Stats(Example):
    def check(self, values, out, threshold):
        words = out.split()
        self.assertEqual(["n", "mean", "sd", "min", "max", "above"], words[0::2])
        n, mean, sd, least, greatest, above = map(float, words[1::2])
        wide = values.astype("f8")
        self.assertEqual(len(values), n)
        self.assertAlmostEqual(wide.mean(), mean, delta=1e-6)
        self.assertAlmostEqual(wide.std(), sd, delta=1e-6)
        self.assertEqual((values.min(), values.max()), (np.float32(least), np.float32(greatest)))
        self.assertEqual(int((values > threshold).sum()), above)

    def test_against_numpy(self):
        values = self.lz4_files([1, 1000, 262144, 77777, 300000, 12])
        self.check(values, self.run_job("stats.lua", "*.f32.lz4"), 0.5)
        self.check(values, self.run_job("stats.lua", "*.f32.lz4", "--threshold=-1.25"), -1.25)

    def test_any_number_of_workers_and_the_other_backend(self):
        values = self.lz4_files([5000] * 40)
        for options in (["-j1"], ["-j2"], ["-j3", "--backend=pread"], ["--backend=auto", "--merge=never"]):
            self.check(values, self.run_job("stats.lua", "*.f32.lz4", options=options), 0.5)

    def test_sample_data_of_the_quickstart(self):
        maker = os.path.join(os.path.dirname(RUNNER), "lsio-sample-data")
        for _ in range(2):  # the second time keeps the files
            subprocess.run([maker, "sample", "3"], cwd=self.folder, check=True)
        names = sorted(os.listdir(os.path.join(self.folder, "sample")))
        self.assertEqual(["0000.f32.lz4", "0001.f32.lz4", "0002.f32.lz4"], names)
        raw = b"".join(subprocess.run(["lz4", "-dc", os.path.join(self.folder, "sample", n)],
                                      stdout=subprocess.PIPE, check=True).stdout for n in names)
        values = np.frombuffer(raw, "<f4")
        self.assertEqual(3 << 18, len(values))
        self.assertTrue(0 <= values.min() and values.max() < 1)
        self.check(values, self.run_job("stats.lua", "sample/*.f32.lz4"), 0.5)

    def test_the_output_in_the_readme(self):
        maker = os.path.join(os.path.dirname(RUNNER), "lsio-sample-data")
        subprocess.run([maker, "data", "512"], cwd=self.folder, check=True)
        out = self.run_job("stats.lua", "data/*.f32.lz4")
        with open(os.path.join(ROOT, "README.md")) as f:
            self.assertIn("    " + out, f.read())
        with open(os.path.join(ROOT, "lua", "README.md")) as f:
            text = f.read()
        self.write("mean.lua", text.split("```lua\n")[1].split("```")[0].encode())
        command = re.search(r"    \$ build/lsio-lua mean.lua '(.*)' (.*)\n", text)
        out = self.run_job(os.path.join(self.folder, "mean.lua"), *command.groups())
        self.assertIn(command.group(0) + "    " + out, text)
        files = sorted(os.listdir(os.path.join(self.folder, "data")))[:8]
        out = self.run_job(os.path.join(self.folder, "mean.lua"), *("data/" + n for n in files)).split()
        raw = [subprocess.run(["lz4", "-dc", os.path.join(self.folder, "data", n)], stdout=subprocess.PIPE, check=True).stdout
               for n in files]
        values = np.frombuffer(b"".join(raw), "<f4")
        values = values[values > 0.5].astype("f8")
        self.assertEqual(["%d" % len(values), "%.4f" % values.mean()], [out[0], out[3]])

    def test_names_and_patterns(self):
        values = self.lz4_files([10, 20, 30])
        self.check(values, self.run_job("stats.lua", "0000.f32.lz4", "000[12]*"), 0.5)

    def test_no_file(self):
        self.run_job("stats.lua", "nothing-here-*.lz4", exit_code=4)


class I16ToF32(Example):
    def test_against_numpy(self):
        parts = [self.random.integers(-32768, 32768, n).astype("<i2") for n in (3, 1 << 20, 700001)]
        for i, part in enumerate(parts):
            self.write("%d.i16" % i, part)
        self.run_job("i16_to_f32.lua", "*.i16", "scaled.npy", "--scale=0.01", "--offset=273.15")
        got = self.load("scaled.npy")
        want = np.concatenate(parts).astype("f4") * np.float32(0.01) + np.float32(273.15)
        self.assertEqual(np.dtype("<f4"), got.dtype)
        np.testing.assert_array_equal(want, got)

    def test_output_is_not_overwritten(self):
        self.write("a.i16", np.arange(10, dtype="<i2"))
        self.write("scaled.npy", b"mine")
        self.run_job("i16_to_f32.lua", "a.i16", exit_code=6)
        with open(os.path.join(self.folder, "scaled.npy"), "rb") as f:
            self.assertEqual(b"mine", f.read())


class Lz4ToNpy(Example):
    def test_in_order_of_names(self):
        values = self.lz4_files([250000, 1, 7, 123456, 262144] + [999] * 30)
        self.run_job("lz4_to_npy.lua", "*.f32.lz4", "decoded.npy")
        got = self.load("decoded.npy")
        self.assertEqual(np.dtype("<f4"), got.dtype)
        np.testing.assert_array_equal(values, got)

    def test_corrupt_frame_leaves_no_output(self):
        self.lz4_files([1000, 1000])
        with open(os.path.join(self.folder, "0001.f32.lz4"), "r+b") as f:
            f.truncate(100)
        self.run_job("lz4_to_npy.lua", "*.f32.lz4", "decoded.npy", exit_code=8)
        self.assertEqual(["0000.f32.lz4", "0001.f32.lz4"], sorted(os.listdir(self.folder)))


class Histogram(Example):
    def test_against_numpy(self):
        values = self.random.normal(size=400000).astype("<f4")
        values[1000:1010] = np.nan
        self.write("a.f32", values[:150000])
        self.write("b.f32", values[150000:])
        lines = self.run_job("histogram.lua", "*.f32", "--lo=-3", "--hi=3").splitlines()
        self.assertEqual(33, len(lines))
        want, edges = np.histogram(values[~np.isnan(values)].astype("f8"), bins=32, range=(-3, 3))
        self.assertEqual(list(want), [int(line.split()[1]) for line in lines[:-1]])
        np.testing.assert_allclose(edges[:-1], [float(line.split()[0]) for line in lines[:-1]],
                                   rtol=1e-3, atol=1e-9)
        self.assertEqual("400000 values, %d of them outside" % (400000 - want.sum()), lines[-1])
        self.assertEqual(40, max(line.count("#") for line in lines))


class FindBytes(Example):
    def test_against_bytes(self):
        texts = {"a.log": b"x" * 70000 + b"needle and needle" + b"y" * 9, "b.log": b"none here",
                 "c.log": b"", "d.log": b"needle", "e.log": b"\0\xff needl needle\n" * 5000}
        for name, text in texts.items():
            self.write(name, text)
        got = self.run_job("find_bytes.lua", "*.log", "--needle=needle").splitlines()
        want = ["%s: %d, first at byte %d" % (n, t.count(b"needle"), t.find(b"needle"))
                for n, t in sorted(texts.items()) if b"needle" in t]
        self.assertEqual(want, got)


    def test_hits_across_pieces_count_once(self):
        """Python finds as many in texts of few letters, with pieces as short as a needle: it lies across two, three
        begin and end there, and of those that overlap each counts that begins behind the last one."""
        with open(os.path.join(ROOT, "scripts", "find_bytes.lua")) as f:
            script = f.read()
        self.assertIn('piece     = "1MiB"', script)
        across = 0
        for turn in range(60):
            needle = bytes(self.random.integers(97, 97 + 1 + turn % 3, self.random.integers(1, 9), dtype="u1"))
            piece = len(needle) + int(self.random.integers(0, 12))
            texts = {}
            for name in range(6):
                size = int(self.random.choice([0, 1, piece, 2 * piece, 2 * piece + 1, self.random.integers(1, 400)]))
                text = bytes(self.random.integers(97, 97 + 1 + turn % 3, size, dtype="u1"))
                for _ in range(size // 20):
                    at = int(self.random.integers(size))
                    text = (text[:at] + needle + text[at + len(needle):])[:size]
                texts["%d.txt" % name] = text
                across += any(needle in text[i - len(needle) + 1:i + len(needle) - 1] for i in range(piece, size, piece))
                self.write("%d.txt" % name, text)
            self.write("job.lua", script.replace('"1MiB"', str(piece)).encode())
            want = ["%s: %d, first at byte %d" % (n, t.count(needle), t.find(needle)) for n, t in sorted(texts.items())
                    if needle in t]
            got = self.run_job(os.path.join(self.folder, "job.lua"), "*.txt", "--needle=" + needle.decode()).splitlines()
            self.assertEqual(want, got, (needle, piece, texts))
        self.assertGreater(across, 60)

    def test_files_larger_than_the_memory(self):
        """By pieces, as it comes; holes cost no room on the disk."""
        path, size, last = os.path.join(self.folder, "large"), 300 << 20, (200 << 20) - 3
        with open(path, "wb") as f:
            for at in (5, (1 << 20) - 1, last):
                f.seek(at)
                f.write(b"needle")
            f.truncate(size)
        got = self.run_job("find_bytes.lua", "large", "--needle=needle", options=["--memory=64MiB", "-j1"])
        self.assertEqual("large: 3, first at byte 5\n", got)

    def test_an_empty_needle_is_refused(self):
        self.write("a.log", b"x")
        r = self.result_of("find_bytes.lua", "a.log", "--needle=", exit_code=3)
        self.assertIn("--needle is empty: write the bytes to look for", r.stderr)
        self.assertEqual("", r.stdout)


class MinmaxRanges(Example):
    def test_against_numpy(self):
        values = {n: self.random.normal(size=50000).astype("<f4") for n in ("a.f32", "b.f32")}
        for name, array in values.items():
            self.write(name, array)
        rows, want = ["path,offset,length,tag"], []
        for i in range(500):
            name = "ab"[self.random.integers(2)] + ".f32"
            first, n = int(self.random.integers(49000)), int(self.random.integers(1, 1000))
            offset = 4 * first if i % 5 else 4 * first - 200000  # negative: from the end
            rows.append("%s,%d,%d,%d" % (name, offset, 4 * n, 1000 - i))
            part = values[name][first:first + n]
            want.append((1000 - i, part.min(), part.max()))
        self.write("ranges.csv", "\n".join(rows + [""]).encode())
        got = [line.split(",") for line in self.run_job("minmax_ranges.lua", "ranges.csv").splitlines()]
        self.assertEqual(want, [(int(t), np.float32(a), np.float32(b)) for t, a, b in got])


class CrcManifest(Example):
    def test_against_python(self):
        self.assertEqual(0xE3069283, crc32c(b"123456789"))
        files = {"a.bin": self.random.bytes(100003), "b.bin": b"", "c.bin": b"123456789"}
        for name, data in files.items():
            self.write(name, data)
        got = self.run_job("crc_manifest.lua", "*.bin").splitlines()
        self.assertEqual(["%s %08x %d" % (n, crc32c(d), len(d)) for n, d in sorted(files.items())], got)

    @unittest.skipUnless(blosc, "python3-blosc is not installed")
    def test_blosc_crc(self):
        files = {"a.blosc": self.random.bytes(1000) * 2000, "b.blosc": b"x", "c.blosc": b"123456789"}
        for name, data in files.items():
            self.write(name, blosc.compress(data, 4, cname="zstd"))
        got = self.run_job("blosc_crc.lua", "*.blosc").splitlines()
        self.assertEqual(["%s %08x %d" % (n, crc32c(d), len(d)) for n, d in sorted(files.items())], got)


class Manifest(Example):
    def test_against_sha256sum(self):
        names = ["t/%d/%04d" % (i % 7, i) for i in range(1200)]
        names += ["t/0/a b", "t/0/new\nline", "t/1/back\\slash", "t/1/\u00e9", "t/a.b/x", "t/a/x"]
        for i, name in enumerate(names):
            os.makedirs(os.path.dirname(os.path.join(self.folder, name)), exist_ok=True)
            self.write(name, self.random.bytes(i * 7 % 5000 if i % 9 else 0))
        names.sort(key=os.fsencode)
        sums = subprocess.run(["sha256sum", "-z", "--", *names], cwd=self.folder, check=True,
                              stdout=subprocess.PIPE).stdout.decode().split("\0")
        want = ["%s %d %s" % (line[:64], os.path.getsize(os.path.join(self.folder, name)),
                              name.replace("\\", "\\\\").replace("\n", "\\n"))
                for line, name in zip(sums, names)]
        self.assertEqual(want, self.run_job("manifest.lua", "t/**").splitlines())
        self.run_job("manifest.lua", "--out=m.txt", "t/**")
        with open(os.path.join(self.folder, "m.txt"), encoding="utf-8") as f:
            self.assertEqual(want, f.read().splitlines())
        self.assertEqual("", self.run_job("manifest.lua", "--out=none/m.txt", "t/**", exit_code=7))

    def test_a_full_disk(self):
        self.write("a.bin", b"x")
        r = self.result_of("manifest.lua", "--out=/dev/full", "a.bin", exit_code=7)
        self.assertIn("/dev/full: No space left on device", r.stderr)
        with open("/dev/full", "w") as full:
            r = self.result_of("manifest.lua", "a.bin", exit_code=6, stdout=full)
        self.assertIn("stdout: No space left on device", r.stderr)


if __name__ == "__main__":
    unittest.main()
