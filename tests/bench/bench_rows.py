"""The rows of the table: what runs on each side, and which figures are compared."""
import math
import os
import subprocess
import tempfile

from bench_data import CHUNK, SMALL
from bench_measure import Failed, run_fio, run_json, run_lsio, run_process

HERE = os.path.dirname(os.path.abspath(__file__))


class Tools:
    def __init__(self, build, lsio):
        self.lsio = lsio
        self.build = build

    def ref(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    @staticmethod
    def job(name):
        return os.path.join(HERE, "jobs", name + ".lua")


class Metric:
    """A ratio of two figures, at least or at most the bar; bar None = shown for information."""

    def __init__(self, label, a, b, sense, bar, against, unit="", fmt="{:.3g}"):
        self.label, self.a, self.b, self.sense, self.bar = label, a, b, sense, bar
        self.against, self.unit, self.fmt = against, unit, fmt

    def met(self, low, high):
        if self.bar is None:
            return None
        return high >= self.bar if self.sense == ">=" else low <= self.bar


def of(side, figure):
    return lambda sides: sides[side][figure]


def rate(label, against, bar, figure="gb_per_s", unit="GB/s", side="lsio"):
    return Metric(label, of(side, figure), of(against, figure), ">=", bar, against, unit)


def cost(label, against, bar, figure="cpu_per_gb", unit="s/GB", side="lsio"):
    return Metric(label, of(side, figure), of(against, figure), "<=", bar, against, unit)


class Row:
    def __init__(self, name, what, sides, metrics, before=None, once=False):
        self.name, self.what, self.sides, self.metrics = name, what, sides, metrics
        self.before, self.once = before, once


def near(a, b, what, relative=1e-9):
    if not math.isclose(a, b, rel_tol=relative, abs_tol=1e-6):
        raise Failed(f"wrong result: {what} is {a!r}, not {b!r}")


def touched(result, facts):
    near(result["state"].get("n", -1), facts["n"], "n")
    near(result["state"].get("words", -1), facts["words"], "words")
    return result


def as_bytes(result, n):
    """Rates are of what the user asked for, whatever was read for it."""
    result["bytes"] = n
    result["gb_per_s"] = n / result["wall_s"] / 1e9
    result["cpu_per_gb"] = result["cpu_s"] / n * 1e9
    return result


def with_items(result, n):
    result["items_per_s"] = n / result["wall_s"]
    result["us_per_item"] = result["cpu_s"] / n * 1e6
    return result


class Table:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.best = {}

    # -- sides
    def touch(self, name, options):
        facts = self.d.facts[name]
        return lambda: with_items(touched(run_lsio(
            self.t.lsio, self.t.job("touch"), options,
            ["--ranges", self.d.ranges(name), *self.d.f32]), facts), facts["n"])

    def uring(self, *args, paths=None):
        return lambda: run_json([self.t.ref("ref_uring"), *args, *(paths or self.d.f32)])

    def stats(self, options, lz4):
        def side():
            if lz4:
                r = run_lsio(self.t.lsio, self.t.job("lz4stats"), options,
                             ["--ranges", self.d.ranges("lz4"), *self.d.lz4])
            else:
                r = run_lsio(self.t.lsio, self.t.job("stats"), options, self.d.f32)
            return as_bytes(r, self.stats_bytes(lz4))
        return side

    def stats_bytes(self, lz4):
        return self.d.decoded_bytes if lz4 else self.d.f32_bytes

    def ref_stats(self, threads, lz4, modes):
        """The fastest of its modes, found by one run of each."""
        def run(mode):
            if lz4:
                argv = [self.t.ref("ref_lz4stats"), f"--ranges={self.d.ranges('lz4')}",
                        f"--decoded={CHUNK}", *self.d.lz4]
            else:
                argv = [self.t.ref("ref_stats"), *self.d.f32]
            argv[1:1] = [f"--threads={threads}", f"--mode={mode}"]
            return as_bytes(run_json(argv), self.stats_bytes(lz4))

        def side():
            key = (threads, lz4, modes)
            if key not in self.best:
                self.best[key] = min(modes, key=lambda m: min(run(m)["wall_s"] for _ in range(3)))
            r = run(self.best[key])
            r["mode"] = self.best[key]
            return r
        return side

    @staticmethod
    def same_stats(sides):
        """All sides of a statistics row must agree."""
        results = []
        for s in sides.values():
            state = s.get("state")
            results.append((state["sum"], state["low"], state["high"], state["n"], state["above"])
                           if state else (s["sum"], s["min"], s["max"], s["n"], s["above"]))
        for r in results[1:]:
            for what, a, b in zip(("sum", "min", "max", "n", "above"), r, results[0]):
                near(a, b, what, 1e-8)

    # -- rows
    def rows(self):
        return [*self.device_rows(), *self.merge_rows(), *self.block_rows(), self.overhead_row(),
                self.cache_row(), *self.small_rows(), *self.stats_rows(), *self.scaling_rows(), self.plan_row(),
                *self.memory_rows()]

    def device_rows(self):
        depth, n = 128, self.d.facts["random"]["n"]
        options = ["-j1", "--direct=always", "--merge=never", f"--queue-depth={depth}"]
        for threads in (1, 2):
            options[0] = f"-j{threads}"
            sides = {"lsio": self.touch("random", list(options)),
                     "C": self.uring(f"--ranges={self.d.ranges('random')}", f"--depth={depth}",
                                     f"--threads={threads}")}
            metrics = [rate("reads/s", "C", None, "ops_per_s", "1/s"),
                       cost("CPU per read", "C", None, "us_per_op", "us")]
            if threads == 1:
                sides["fio"] = lambda: run_fio(self.d.f32, depth, n, "4k", False)
                sides["fio, tuned"] = lambda: run_fio(self.d.f32, depth, n, "4k", True)
                metrics = [rate("reads/s", "fio", 0.98, "ops_per_s", "1/s"),
                           cost("CPU per read", "fio", 0.8, "us_per_op", "us"),
                           rate("reads/s", "fio, tuned", 0.98, "ops_per_s", "1/s"),
                           cost("CPU per read", "fio, tuned", 0.8, "us_per_op", "us"), *metrics]
            yield Row(f"random4k-{threads}", f"4 KiB random O_DIRECT, never merged, depth {depth}, "
                      f"{threads} worker{'s'[:threads - 1]}", sides, metrics)

    def merge_rows(self):
        for name, bar, share in (("dense", 3.0, "75 %"), ("sparse", 1.0, "10 %")):
            yield Row(f"merge-{name}", f"{share} of a region in 4 KiB ranges, merged against not",
                      {"lsio": self.touch(name, ["--direct=always"]),
                       "never": self.touch(name, ["--direct=always", "--merge=never"])},
                      [rate("ranges/s", "never", bar, "items_per_s", "1/s")])

    def block_rows(self):
        # Every file twice, under two names: long enough that setting up hardly counts.
        paths = self.d.f32 + [os.path.join(os.path.dirname(p), ".", os.path.basename(p))
                              for p in self.d.f32]
        for label, size, depth in (("256k", 256 << 10, 16), ("1m", 1 << 20, 16)):
            options = ["-j1", "--direct=always", "--merge=never", f"--queue-depth={depth}"]
            params = ["--chunk", str(size), *paths]
            yield Row(f"read-{label}", f"{label} O_DIRECT reads in file order, depth {depth}",
                      {"lsio": lambda o=options, p=params: as_bytes(
                          run_lsio(self.t.lsio, self.t.job("blocks"), o, p), 2 * self.d.f32_bytes),
                       "C": self.uring(f"--block={size}", f"--depth={depth}", paths=paths)},
                      [rate("bandwidth", "C", 0.97), cost("CPU", "C", 1.2)])

    def cache_row(self):
        facts = self.d.facts["cached"]

        def ref(mode):
            return lambda: with_items(run_json(
                [self.t.ref("ref_ranges"), f"--ranges={self.d.ranges('cached')}", "--threads=2",
                 f"--mode={mode}", *self.d.f32]), facts["n"])
        return Row("cached4k", "4 KiB ranges in the page cache, 2 workers",
                   {"lsio": self.touch("cached", ["-j2", "--direct=never"]),
                    "unmerged": self.touch("cached", ["-j2", "--direct=never", "--merge=never"]),
                    "pread": ref("pread"), "uring": ref("uring")},
                   [rate("ranges/s", "pread", 0.8, "items_per_s", "1/s"),
                    rate("ranges/s", "uring", None, "items_per_s", "1/s"),
                    rate("unmerged", "pread", None, "items_per_s", "1/s", side="unmerged")],
                   before=lambda: self.d.warm(self.d.f32))

    def small_rows(self):
        """Whole processes: listing the folders is part of the work, and LSIO does it before it starts
        its clock. Every side of the cold row begins with nothing in memory."""
        folders = 40 if self.d.size["name"] == "quick" else SMALL["folders"]
        n = folders * SMALL["files"]

        def whole(result):
            result["wall_s"], result["cpu_s"] = result["process_wall_s"], result["process_cpu_s"]
            return with_items(result, n)

        def sides(cold):
            def begin():
                root = self.d.small()
                if cold:
                    self.d.forget()
                return root

            def lsio():
                pattern = os.path.join(begin(), "0[0-3]?/*" if folders == 40 else "*/*")
                return whole(run_lsio(self.t.lsio, self.t.job("smallfiles"), ["-j2"], [pattern]))

            def ref(*more):
                return lambda: whole(run_json([
                    self.t.ref("ref_smallfiles"), "--threads=2", f"--folders={folders}",
                    f"--mode={'uring' if cold else 'pread'}", *more, begin()]))
            return {"lsio": lsio, "C": ref(), "C, checking": ref("--check")}

        for cold in (True, False):
            yield Row(f"smallfiles-{'cold' if cold else 'warm'}",
                      f"statistics of {n:,} files of 4 KiB, {'nothing' if cold else 'all'} in memory",
                      sides(cold),
                      [rate("files/s", "C, checking", 0.9, "items_per_s", "1/s"),
                       rate("files/s", "C", None, "items_per_s", "1/s"),
                       cost("CPU per file", "C, checking", None, "us_per_item", "us"),
                       cost("CPU per file", "C", None, "us_per_item", "us")])

    def stats_rows(self):
        for lz4 in (False, True):
            name = "lz4stats" if lz4 else "stats"
            text = "lz4 + statistics" if lz4 else "statistics"
            paths = self.d.lz4 if lz4 else self.d.f32
            yield Row(f"{name}-warm", f"{text}, page cache, 2 workers",
                      {"lsio": self.stats(["-j2", "--direct=never"], lz4),
                       "C": self.ref_stats(2, lz4, ("pread", "mmap"))},
                      [rate("speed", "C", 0.95), cost("CPU", "C", None)],
                      before=lambda p=paths: self.d.warm(p))
            yield Row(f"{name}-direct", f"{text}, O_DIRECT, 2 workers",
                      {"lsio": self.stats(["-j2", "--direct=always"], lz4),
                       "C": self.ref_stats(2, lz4, ("direct",))},
                      [rate("speed", "C", 0.95), cost("CPU", "C", 1.05)])

    def scaling_rows(self):
        for lz4 in (False, True):
            name = "lz4stats" if lz4 else "stats"
            modes = ("pread", "mmap")
            sides = {"lsio": self.stats(["-j2", "--direct=never"], lz4),
                     "lsio-1": self.stats(["-j1", "--direct=never"], lz4),
                     "C": self.ref_stats(2, lz4, modes), "C-1": self.ref_stats(1, lz4, modes)}
            yield Row(f"{name}-scaling", f"{name}, page cache: two workers over one, against C's",
                      sides, [Metric("speed-up",
                                     lambda s: s["lsio"]["gb_per_s"] / s["lsio-1"]["gb_per_s"],
                                     lambda s: s["C"]["gb_per_s"] / s["C-1"]["gb_per_s"],
                                     ">=", 0.97, "C", "x")],
                      before=lambda p=(self.d.lz4 if lz4 else self.d.f32): self.d.warm(p))

    def plan_row(self):
        ranges = self.d.ranges("plan")
        return Row("plan", "1,000,000 random ranges, parsed request to sorted, merged units",
                   {"lsio": lambda: run_json([self.t.ref("drive_plan"), ranges, "7168"]),
                    "numpy": lambda: run_json([os.path.join(HERE, "ref_plan.py"), ranges, "7168"])},
                   [Metric("time", of("lsio", "wall_s"), of("numpy", "wall_s"), "<=", 0.75,
                           "numpy", "s")])

    def overhead_row(self):
        def instructions(*args):
            with tempfile.NamedTemporaryFile("r", suffix=".callgrind") as f:
                run_process(["valgrind", "--tool=callgrind", f"--callgrind-out-file={f.name}",
                             self.t.ref("drive_overhead"), *args])
                for line in f:
                    if line.startswith(("summary:", "totals:")):
                        return int(line.split()[1])
            raise Failed("callgrind wrote no total")

        def side():
            few, many = 20_000, 120_000
            each = (instructions(str(many)) - instructions(str(few))
                    - instructions(str(many), "--plan-only")
                    + instructions(str(few), "--plan-only")) / (many - few)
            return {"instructions": each, "wall_s": 0.0, "cpu_s": 0.0}
        return Row("overhead", "engine, instructions per 4 KiB step, mem serving pointers",
                   {"lsio": side},
                   [Metric("instructions", of("lsio", "instructions"), lambda s: 1.0, "<=", 500.0,
                           "baseline subtracted", "")], once=True)

    def memory_rows(self):
        ceiling = 256 << 20

        def budget(chunks, paths, workers):
            return (ceiling + 64 * chunks + sum(len(p) + 64 for p in paths) + (32 << 20)
                    + (workers * 2 << 20))

        def measure(script, params, chunks, paths, options=()):
            def side():
                r = run_lsio(self.t.lsio, script, ["-j2", "--memory=256MiB", *options], params,
                             sample_memory=True)
                r["budget"] = budget(chunks, paths, 2)
                return r
            return side

        lz4 = self.d.size["lz4_files"] * self.d.size["lz4_size"] // CHUNK
        cases = {
            "cached": (measure(self.t.job("touch"), ["--ranges", self.d.ranges("cached"),
                                                     *self.d.f32],
                               self.d.facts["cached"]["n"], self.d.f32), "4 KiB ranges"),
            "direct": (measure(self.t.job("stats"), self.d.f32, self.d.f32_bytes // CHUNK,
                               self.d.f32, ["--direct=always"]), "statistics, O_DIRECT"),
            "lz4": (measure(self.t.job("lz4stats"), ["--ranges", self.d.ranges("lz4"),
                                                     *self.d.lz4], lz4, self.d.lz4),
                    "lz4 + statistics")}
        for name, (side, text) in cases.items():
            yield Row(f"memory-{name}", f"peak memory, --memory 256MiB, {text}", {"lsio": side},
                      [Metric("memory", of("lsio", "peak_bytes"), of("lsio", "budget"), "<=", 1.0,
                              "budget", "B")], once=True)


def have(program):
    return subprocess.run(["sh", "-c", f"command -v {program}"], stdout=subprocess.DEVNULL,
                          check=False).returncode == 0
