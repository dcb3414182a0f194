"""The rows of the header for languages: results in blocks against a caller's array and against nothing, how often a
program is woken for them, transforms in C, and a timer beside a job."""
import os

import numpy as np

from bench_jobs import check_same
from bench_measure import count_instructions, run_json
from bench_row import Row, bar, beyond, cost, rate

CHUNKS = {"4k": 4096, "64k": 64 << 10, "256k": 256 << 10, "8m": 8 << 20}
ROUNDS = 3  # of a job in one context, the last of which is measured
LEAST_PER_WAKE = 64.0
WAKE_S = 200e-6


def woken(side):
    """How often, of a program that takes results (or events) as they come."""
    def run():
        s = side()
        n = s.get("events", s["ops"])
        return dict(s, per_wake=n / max(1, s["wakes"]), wakes_per_200us=s["wakes"] / (s["wall_s"] / WAKE_S))
    return run


def same_words(sides):
    check_same([("words", "words")], {"C": sides["lsio"], **sides}, lambda side: side)


class QueueTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data

    def rows(self):
        return [*self.block_rows(), *self.wake_rows(), self.range_row(), *self.transform_rows(), *self.timer_rows()]

    @property
    def quick(self):
        return self.d.size["name"] == "quick"

    @property
    def paths(self):
        return self.d.f32[:4]

    def stream(self, *options):
        return lambda: run_json([self.t.ref("drive_stream"), f"--rounds={ROUNDS}", *options, *self.paths])

    def block_rows(self):
        for name, chunk in CHUNKS.items():
            size = f"--chunk={chunk}"
            metrics = [rate("speed", "array", 0.9), cost("CPU", "array", 1.11), rate("speed", "none", None),
                       cost("CPU", "none", None)]
            if chunk == 4096:
                metrics = [beyond("CPU per result", "us_per_op", 1e3, "none", 150.0, "ns"),
                           rate("results/s", "array", None, "ops_per_s", "1/s"),
                           cost("CPU per result", "array", None, "us_per_op", "us"),
                           rate("results/s", "none", None, "ops_per_s", "1/s"),
                           cost("CPU per result", "none", None, "us_per_op", "us")]
            yield Row(f"blocks-{name}", f"results of {name} in blocks from a queue, page cache, 2 workers",
                      {"lsio": self.stream(size), "array": self.stream(size, "--deliver=array"),
                       "none": self.stream(size, "--deliver=none")},
                      metrics, before=lambda: self.d.warm(self.paths), check=same_words)

    def wake_rows(self):
        def stream(wait):
            return woken(self.stream("--chunk=4096", f"--wait={wait}"))

        def jobs(wait, inflight):
            return woken(lambda: run_json([self.t.ref("drive_queue"), f"--n={15_000 if self.quick else 60_000}",
                                           f"--inflight={inflight}", f"--wait={wait}", self.paths[0]]))
        yield Row("wakes-4k", "4 KiB results in blocks, page cache, to a program that is woken for them",
                  {"lsio": stream("notify"), "fd": stream("fd")},
                  [bar("results/notify", "per_wake", ">=", LEAST_PER_WAKE, ""),
                   bar("results/readable", "per_wake", ">=", LEAST_PER_WAKE, "", "fd")],
                  before=lambda: self.d.warm(self.paths), check=same_words)
        for inflight in (64, 1000):
            yield Row(f"wakes-jobs-{inflight}", f"{inflight} plain reads of 4 KiB at once, of one queue",
                      {"lsio": jobs("notify", inflight), "fd": jobs("fd", inflight)},
                      [bar("notify/200us", "wakes_per_200us", "<=", 1.0, ""),
                       bar("readable/200us", "wakes_per_200us", "<=", 1.0, "", "fd"),
                       bar("events/notify", "per_wake", ">=", None, ""),
                       rate("jobs/s", "fd", None, "ops_per_s", "1/s")],
                      before=lambda: self.d.warm(self.paths[:1]), check=same_words)

    def range_row(self):
        paths = self.d.f32

        def list_of():
            """The page cache's ranges, an eighth of each."""
            path = self.d.path("ranges-512.npy")
            if not os.path.exists(path):
                rows = np.load(self.d.ranges("cached"))
                rows[:, 2] = 512
                np.save(path, rows)
            return path

        def lsio(how):
            return lambda: run_json([self.t.ref("drive_ranges"), f"--how={how}", "--rounds=2",
                                     f"--ranges={list_of()}", *paths])
        return Row("ranges-arrays", f"{self.d.facts['cached']['n']:,} ranges of 512 B in the page cache, from arrays into "
                   "an array, 2 workers", {
                       "lsio": lsio("borrowed"), "copied": lsio("copied"), "listed": lsio("listed"),
                       "C": lambda: run_json([self.t.ref("ref_ranges"), "--place", "--threads=2",
                                              f"--ranges={list_of()}", *paths])},
                   [cost("time", "listed", 1.0, "wall_s", "s"), cost("CPU", "listed", 1.0, "cpu_s", "s"),
                    cost("time", "copied", None, "wall_s", "s"), cost("time", "C", None, "wall_s", "s"),
                    cost("CPU", "C", None, "cpu_s", "s"), bar("CPU of calls", "calls_us", "<=", 1000.0, "us")],
                   before=lambda: self.d.warm(paths), check=same_words)

    def transform_rows(self):
        n = 500_000 if self.quick else 2_000_000
        program = self.t.ref("drive_overhead")

        def instructions():
            few, many = 20_000, 120_000
            with_it = count_instructions([program, str(many), "--transform"]) - count_instructions(
                [program, str(few), "--transform"])
            bare = count_instructions([program, str(many)]) - count_instructions([program, str(few)])
            return {"instructions": (with_it - bare) / (many - few)}
        yield Row("transform-c", "a transform in C, per 4 KiB step, mem serving pointers, 1 worker",
                  {"lsio": lambda: run_json([program, str(n), "--transform"]),
                   "bare": lambda: run_json([program, str(n)])},
                  [beyond("time per step", "cpu_s", 1e9 / n, "bare", 30.0, "ns")])
        yield Row("transform-c-instr", "the same, instructions per step",
                  {"lsio": instructions}, [bar("instructions", "instructions", "<=", None, "")], once=True)

    def timer(self, *words):
        n = 1000 if self.quick else 5000
        return lambda: run_json([self.t.ref("drive_timer"), words[0], f"--n={n}", *words[1:]])

    def jobs_and_timer(self, script, *words):
        return self.timer("jobs", self.t.job(script), "--", *words)()

    def timer_rows(self):
        lz4 = ["lz4stats", "--ranges", self.d.ranges("lz4"), *self.d.lz4]
        small = lambda: ["smallfiles", f"{self.d.small()}/*/*"]  # noqa: E731
        for name, what, load, warm in (("lz4", "lz4 + statistics", lambda: lz4, self.d.lz4),
                                       ("listing", "jobs that list and read many files", small, [])):
            yield Row(f"timer-{name}", f"a loop with a 1 ms timer that drives jobs: {what}, 2 workers",
                      {"lsio": lambda load=load: self.jobs_and_timer(*load()),
                       "spinning": self.timer("spin"), "idle": self.timer("none")},
                      [cost("late, p99", "spinning", 1.25, "p99_us", "us"),
                       cost("late, median", "spinning", None, "p50_us", "us"),
                       cost("late, p99", "idle", None, "p99_us", "us"),
                       bar("CPUs used", "busy", ">=", None, ""),
                       bar("CPU of a turn", "turn_cpu_us", "<=", 1000.0, "us"),
                       bar("sleeps", "slept", "<=", 0.0, "")],
                      before=lambda warm=warm: self.d.warm(warm))
