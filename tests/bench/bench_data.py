"""The benchmarks' data: made once in a directory, the same bytes everywhere, reused when there."""
import json
import os
import subprocess

import numpy as np

VERSION = 3
FULL = {"name": "full", "f32_files": 16, "f32_size": 256 << 20, "lz4_files": 4,
        "lz4_size": 512 << 20, "random": 150_000, "cached": 1_000_000, "dense_bytes": 1 << 30}
SMALL = {"version": 1, "size": 4096, "folders": 200, "files": 1000}
QUICK = {"name": "quick", "f32_files": 4, "f32_size": 128 << 20, "lz4_files": 2,
         "lz4_size": 256 << 20, "random": 40_000, "cached": 300_000, "dense_bytes": 256 << 20}
LARGE = {"full": 1 << 30, "quick": 256 << 20}
CODERS = {"zst": ["zstd", "-q", "-3", "-c"], "gz": ["gzip", "-6", "-n", "-c"]}
CHUNK = 256 << 10
PAGE = 4096


class Data:
    def __init__(self, root, size, tool):
        self.size = size
        self.dir = os.path.join(root, size["name"])
        self.f32 = [self.path(f"f32-{i:02d}.bin") for i in range(size["f32_files"])]
        self.lz4 = [self.path(f"lz4-{i:02d}.bin") for i in range(size["lz4_files"])]
        self.f32_bytes = size["f32_files"] * size["f32_size"]
        self.decoded_bytes = size["lz4_files"] * size["lz4_size"]
        self.tool = tool
        self.ensure()
        with open(self.path("facts.json"), encoding="utf-8") as f:
            self.facts = json.load(f)

    def path(self, name):
        return os.path.join(self.dir, name)

    def ranges(self, name):
        return self.path(f"{name}.npy")

    def ensure(self):
        stamp = self.path("stamp.json")
        want = {"version": VERSION, **self.size}
        try:
            with open(stamp, encoding="utf-8") as f:
                if json.load(f) == want:
                    return
        except (OSError, ValueError):
            pass
        os.makedirs(self.dir, exist_ok=True)
        print(f"bench: making {self.f32_bytes + self.decoded_bytes >> 20} MiB of data in {self.dir}",
              flush=True)
        for i, path in enumerate(self.f32):
            subprocess.run([self.tool, "f32", path, str(self.size["f32_size"]), str(i)], check=True)
        frames = []
        for i, path in enumerate(self.lz4):
            part = self.path(f"lz4-{i:02d}.npy")
            subprocess.run([self.tool, "lz4", path, str(self.size["lz4_size"]), str(100 + i),
                            str(CHUNK), part], check=True)
            rows = np.load(part)
            rows[:, 0] = i
            frames.append(rows)
            os.unlink(part)
        np.save(self.ranges("lz4"), np.concatenate(frames))
        self.make_ranges()
        with open(stamp, "w", encoding="utf-8") as f:
            json.dump(want, f)

    def make_ranges(self):
        per_file = self.size["f32_size"] // PAGE
        n_blocks = per_file * self.size["f32_files"]
        rng = np.random.default_rng(20251)
        first = np.concatenate([np.memmap(p, "<u4", "r")[::PAGE // 4] for p in self.f32])
        facts = {}

        def save(name, blocks):
            rows = np.stack([blocks // per_file, blocks % per_file * PAGE,
                             np.full(blocks.size, PAGE)], 1).astype("<i8")
            np.save(self.ranges(name), rows)
            facts[name] = {"n": int(blocks.size), "words": float(first[blocks].sum(dtype="f8"))}

        save("random", rng.choice(n_blocks, self.size["random"], replace=False))
        save("cached", rng.integers(0, n_blocks, self.size["cached"]))
        region = self.size["dense_bytes"] // PAGE
        save("dense", rng.permutation(region)[: region * 3 // 4])
        save("sparse", rng.permutation(n_blocks)[: n_blocks // 10])
        million = rng.integers(0, 16 << 20, 1_000_000)  # of 16 objects of 4 GiB that need not exist
        np.save(self.ranges("plan"), np.stack([million >> 20, (million & 0xfffff) * PAGE,
                                               np.full(million.size, PAGE)], 1).astype("<i8"))
        with open(self.path("facts.json"), "w", encoding="utf-8") as f:
            json.dump(facts, f)

    def coded(self, codec, chunk):
        """A file of frames of `chunk` decoded bytes; made when a row asks for it. -> path, its ranges,
        decoded bytes."""
        size = self.size["lz4_size"]
        path = self.path(f"{codec}-{chunk >> 10}k-1.bin")
        ranges = path.replace(".bin", ".npy")
        if not os.path.exists(path) or not os.path.exists(ranges):
            subprocess.run([self.tool, codec, path, str(size), "500", str(chunk), ranges], check=True)
        return path, ranges, size

    def large_size(self):
        return LARGE[self.size["name"]]

    def large(self, i, kind):
        """One large file of float32, plain ("bin") or as a program encodes it; made when a row asks for it."""
        path = self.path(f"large-{i:02d}.{kind}")
        if not os.path.exists(path):
            if kind == "bin":
                subprocess.run([self.tool, "f32", path, str(self.large_size()), str(700 + i)], check=True)
            else:
                with open(path + ".part", "wb") as f:
                    subprocess.run([*CODERS[kind], self.large(i, "bin")], stdout=f, check=True)
                os.rename(path + ".part", path)
            os.sync()  # writing it back later would disturb what is measured
        return path

    def small(self):
        """Their folder; made when a row asks for them."""
        root = os.path.join(os.path.dirname(self.dir), "small")
        stamp = root + ".json"
        try:
            with open(stamp, encoding="utf-8") as f:
                made = json.load(f) == SMALL
        except (OSError, ValueError):
            made = False
        if not made:
            print(f"bench: making {SMALL['folders'] * SMALL['files']:,} small files in {root}",
                  flush=True)
            subprocess.run([self.tool, "small", root, str(SMALL["size"]), "7",
                            str(SMALL["folders"]), str(SMALL["files"])], check=True)
            with open(stamp, "w", encoding="utf-8") as f:
                json.dump(SMALL, f)
        return root

    @staticmethod
    def forget():
        """Folders, inodes and pages of the whole machine, as after a start. Needs root."""
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")

    @staticmethod
    def warm(paths):
        buffer = bytearray(8 << 20)
        for path in paths:
            with open(path, "rb", buffering=0) as f:
                while f.readinto(buffer):
                    pass

    @staticmethod
    def drop(paths):
        """Out of the page cache, so that nobody's buffered read is faster than the device."""
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
