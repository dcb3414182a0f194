"""The rows of the table: what runs on each side, and which figures are compared."""
import os
import subprocess

from bench_data import CHUNK, SMALL
from bench_jobs import STATS, JobTable, check_same
from bench_large import LargeTable
from bench_pieces import PieceTable
from bench_measure import count_instructions, run_fio, run_json, run_lsio
from bench_queue import QueueTable
from bench_row import Metric, Row, cost, near, of, rate
from bench_serve import ServeTable
from bench_stdin import StdinTable
from bench_write import WriteTable

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

    # -- sides
    def touch(self, name, options):
        facts = self.d.facts[name]
        return lambda: with_items(touched(run_lsio(
            self.t.lsio, self.t.job("touch"), options,
            ["--ranges", self.d.ranges(name), *self.d.f32]), facts), facts["n"])

    def uring(self, *args, paths=None):
        return lambda: run_json([self.t.ref("ref_uring"), *args, *(paths or self.d.f32)])

    # -- rows
    def rows(self):
        return [*self.device_rows(), *self.merge_rows(), *self.block_rows(), self.overhead_row(),
                self.cache_row(), self.stream_row(), *self.small_rows(), *JobTable(self.t, self.d).rows(),
                *PieceTable(self.t, self.d).rows(), *LargeTable(self.t, self.d).rows(), *StdinTable(self.t, self.d).rows(),
                *WriteTable(self.t, self.d).rows(), self.plan_row(),
                *ServeTable(self.t, self.d).rows(), *QueueTable(self.t, self.d).rows(), *self.memory_rows()]

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

    def stream_row(self):
        """What it costs to hand 4 KiB results to a program: copied, looked behind, queued, polled, freed."""
        paths = self.d.f32[:1]

        def side(program, *options):
            return lambda: run_json([self.t.ref(program), "--chunk=4K", *options, *paths])
        return Row("stream4k", "4 KiB of a file in the page cache, handed to a program that polls, 2 workers",
                   {"lsio": side("drive_stream"), "C": side("ref_stream"),
                    "C, checking": side("ref_stream", "--check")},
                   [cost("CPU per result", "C", None, "us_per_op", "us"),
                    cost("CPU per result", "C, checking", None, "us_per_op", "us"),
                    rate("results/s", "C, checking", None, "ops_per_s", "1/s")],
                   before=lambda: self.d.warm(paths),
                   check=lambda sides: check_same([("words", "words")], sides, lambda side: side))

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
                      [rate("files/s", "C, checking", 0.9 if cold else 0.84, "items_per_s", "1/s"),
                       rate("files/s", "C", None, "items_per_s", "1/s"),
                       cost("CPU per file", "C, checking", None, "us_per_item", "us"),
                       cost("CPU per file", "C", None, "us_per_item", "us")],
                      check=lambda sides: check_same(STATS, sides))

    def plan_row(self):
        ranges = self.d.ranges("plan")
        return Row("plan", "1,000,000 random ranges, parsed request to sorted, merged units",
                   {"lsio": lambda: run_json([self.t.ref("drive_plan"), ranges, "7168"]),
                    "numpy": lambda: run_json([os.path.join(HERE, "ref_plan.py"), ranges, "7168"])},
                   [Metric("time", of("lsio", "wall_s"), of("numpy", "wall_s"), "<=", 0.75,
                           "numpy", "s")])

    def overhead_row(self):
        def instructions(*args):
            return count_instructions([self.t.ref("drive_overhead"), *args])

        def side():
            few, many = 20_000, 120_000
            each = (instructions(str(many)) - instructions(str(few))
                    - instructions(str(many), "--plan-only")
                    + instructions(str(few), "--plan-only")) / (many - few)
            return {"instructions": each, "wall_s": 0.0, "cpu_s": 0.0}
        return Row("overhead", "engine, instructions per 4 KiB step, mem serving pointers",
                   {"lsio": side},
                   [Metric("instructions", of("lsio", "instructions"), lambda s: 1.0, "<=", 550.0,
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
