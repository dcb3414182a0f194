"""The rows of a context that serves: jobs of one range against object_store and a pool of threads in C, some jobs
at once, and one-range jobs beside a job that takes the machine."""
import os
import shutil
import subprocess

import numpy as np

from bench_data import CHUNK, SMALL
from bench_jobs import STATS
from bench_measure import Failed, run_json
from bench_row import Row, bar, cost, near, rate

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD_CHUNK, LOAD_TIMES = 1 << 20, 40
PUBLISHED = 1 << 30


def alias(path, k):
    """The same file under its k-th name, to be another object."""
    return os.path.join(os.path.dirname(path), *["."] * k, os.path.basename(path))


class ServeTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.built = None

    def rows(self):
        return [*self.one_rows(), *self.many_rows(), *self.equal_rows(), *self.beside_rows()]

    @property
    def quick(self):
        return self.d.size["name"] == "quick"

    # -- sides: one-range jobs
    def peer(self):
        """object_store in Rust, built once beside the programs in C."""
        if not self.built:
            cargo, project = shutil.which("cargo"), os.path.join(HERE, "peer_object_store")
            if not cargo:
                raise Failed("no cargo here to build object_store's side")
            target = os.path.join(self.t.build, "peer_object_store")
            run = subprocess.run([cargo, "build", "--release", "--locked", "--quiet", "--target-dir", target],
                                 cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if run.returncode:
                raise Failed(f"cargo could not build object_store's side: {' '.join(run.stdout.split())[-300:]}")
            self.built = os.path.join(target, "release", "peer_object_store")
        return self.built

    def sides(self, kind, n, inflight):
        n //= 4 if self.quick else 1
        options = [f"--n={n}", f"--inflight={inflight}", *self.d.f32[:1]]

        def c(*more):
            return lambda: run_json([self.t.ref("ref_jobs"), *more, *options])
        return {"lsio": lambda: run_json([self.t.ref("drive_jobs"), "ranges", f"--kind={kind}", *options]),
                "object_store": lambda: run_json([self.peer(), *options]),
                "get_ranges": lambda: run_json([self.peer(), "--call=get_ranges", *options]),
                "C": c(), "C, checking": c("--check")}

    def range_row(self, name, what, kind, n, inflight, metrics):
        def check(sides):
            for side, figures in sides.items():
                near(figures["words"], sides["C"]["words"], f"the sum of words of {side}", 0)
        return Row(name, f"{what}: 4 KiB of a file in the page cache, submit to done", self.sides(kind, n, inflight),
                   metrics, before=lambda: self.d.warm(self.d.f32[:1]), check=check)

    # -- rows
    def one_rows(self):
        def metrics(most, *more):
            return [*more, cost("time", "object_store", most, "us_per_range", "us"),
                    *(cost("time", side, None, "us_per_range", "us") for side in ("get_ranges", "C", "C, checking")),
                    cost("CPU", "object_store", None, "us_per_op", "us"),
                    cost("CPU", "C, checking", None, "us_per_op", "us")]
        yield self.range_row("jobs-plain", "plain reads one after the other", "plain", 20_000, 1, metrics(1.0))
        yield self.range_row("jobs-script", "jobs of a script's text", "script", 4000, 1, metrics(None))
        yield self.range_row("jobs-loaded", "jobs of a script that is loaded", "loaded", 20_000, 1,
                             metrics(None, bar("time", "us_per_range", "<=", 60.0, "us")))

    def many_rows(self):
        for inflight, least in ((64, 20_000.0), (1000, None)):
            yield self.range_row(
                f"jobs-{inflight}", f"{inflight} plain reads at once", "plain", 60_000, inflight,
                [*([bar("jobs/s", "ops_per_s", ">=", least, "1/s")] if least else []),
                 *(rate("jobs/s", side, None, "ops_per_s", "1/s")
                   for side in ("object_store", "get_ranges", "C", "C, checking")),
                 cost("CPU", "object_store", None, "us_per_op", "us"),
                 cost("CPU", "C, checking", None, "us_per_op", "us")])

    def equal_rows(self):
        """8 jobs of an eighth each, together, against one of all of it."""
        def run(script, jobs):
            words = [w for job in jobs for w in ("--", *job)]

            def of_all(printed):
                s = printed["summaries"]
                state = {k: f(x["state"][k] for x in s)
                         for k, f in (("sum", sum), ("n", sum), ("above", sum), ("low", min), ("high", max))}
                return {"wall_s": printed["wall_s"], "cpu_s": printed["cpu_s"], "ops": sum(x["steps"] for x in s),
                        "bytes": int(state["n"] * 4), "state": state}
            return run_json([self.t.ref("drive_jobs"), "equal", "--set=workers=2", "--set=direct=never",
                             self.t.job(script), *words], of=of_all)

        def row(name, what, script, jobs, whole, paths):
            def check(sides):
                for _, key in STATS:
                    near(sides["lsio"]["state"][key], sides["one"]["state"][key], f"{key} of 8 jobs", 1e-8)
            return Row(name, f"{what}: 8 equal jobs at once against one of the same bytes",
                       {"lsio": lambda: run(script, jobs()), "one": lambda: run(script, [whole()])},
                       [rate("speed", "one", 0.95), cost("CPU", "one", None)],
                       before=lambda: self.d.warm(paths), check=check)

        def files(k=None):
            names = [alias(p, i) for i in range(max(1, 8 // len(self.d.f32))) for p in self.d.f32]
            each = len(names) // 8
            return names if k is None else names[k * each:(k + 1) * each]

        def frames(k):
            path = self.d.ranges("lz4").replace(".npy", f"-part{k}.npy")
            rows = np.load(self.d.ranges("lz4"))
            each = len(rows) // 8
            np.save(path, rows[k * each:(k + 1) * each])
            return ["--ranges", path, *self.d.lz4]
        yield row("jobs-8", "statistics, page cache", "stats", lambda: [files(k) for k in range(8)], files, self.d.f32)
        yield row("jobs-8-lz4", "lz4 + statistics, page cache", "lz4stats", lambda: [frames(k) for k in range(8)],
                  lambda: ["--ranges", self.d.ranges("lz4"), *self.d.lz4], self.d.lz4)

    # -- beside a load
    def load_lz4(self):
        """Frames of 1 MiB, the file again and again under other names: some seconds."""
        path, ranges, _ = self.d.coded("lz4", LOAD_CHUNK)
        again = ranges.replace(".npy", f"-x{LOAD_TIMES}.npy")
        if not os.path.exists(again):
            rows = np.load(ranges)
            many = np.tile(rows, (LOAD_TIMES, 1))
            many[:, 0] = np.repeat(np.arange(LOAD_TIMES), len(rows))
            np.save(again, many)
        return ["lz4stats", "--ranges", again, *(alias(path, k) for k in range(LOAD_TIMES))]

    def load_listing(self):
        return ["smallfiles", os.path.join(self.d.small(), "*/*")]

    def load_publish(self):
        n = max(1, PUBLISHED // self.d.size["f32_size"])
        return ["npycopy", "--output", self.d.path("published.npy"), *self.d.f32[:n]]

    def beside(self, load, *more):
        script, *words = load()
        try:
            side = run_json([self.t.ref("drive_jobs"), "beside", f"--n={250 if self.quick else 1000}", *more,
                             self.d.f32[-1], self.t.job(script), "--", *words])
        finally:
            if "--output" in words and os.path.exists(words[1]):
                os.unlink(words[1])
        if side["load_share"] < 0.9:
            raise Failed(f"the load ran for {side['load_share']:.0%} of the time only")
        return dict(side, p50_ms=side["p50_us"] / 1e3, p99_ms=side["p99_us"] / 1e3)

    def beside_rows(self):
        n = SMALL["folders"] * SMALL["files"]
        for name, what, load, paths in (
                ("lz4", "an lz4 job of steps of 1 MiB", self.load_lz4, lambda: [self.d.coded("lz4", LOAD_CHUNK)[0]]),
                ("listing", f"a job that lists and reads {n:,} files", self.load_listing, lambda: []),
                ("publish", "jobs that make an npy file of 1 GiB durable", self.load_publish, lambda: self.d.f32[:4])):
            yield Row(f"beside-{name}", f"plain reads every few ms beside {what}",
                      {"lsio": lambda load=load: self.beside(load),
                       "apart": lambda load=load: self.beside(load, "--apart")},
                      [bar("p99", "p99_ms", "<=", 3.0, "ms"), cost("p99", "apart", None, "p99_ms", "ms"),
                       cost("median", "apart", None, "p50_ms", "ms")],
                      before=lambda paths=paths: self.d.warm([*paths(), self.d.f32[-1]]))
