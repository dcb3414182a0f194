"""The rows of whole jobs: reading, perhaps decoding, a function, perhaps placing, against C that does the
same from the page cache (the better of pread and mapped) and from the device."""
from bench_data import CHUNK
from bench_measure import Failed, run_json, run_lsio
from bench_row import Metric, Row, cost, near, rate

CACHED, DIRECT = ("pread", "mmap"), ("direct",)


class Job:
    """One job: its script, its reference, and what both must agree on."""

    def __init__(self, name, what, ref, lz4=False, script=None, out_ratio=0, same=()):
        self.name, self.what, self.ref, self.lz4 = name, what, ref, lz4
        self.script = script or name
        self.out_ratio = out_ratio  # bytes of results for a byte of elements; 0: nothing is placed
        self.same = same            # (name in the reference's JSON, name in the job's result)


STATS = (("sum", "sum"), ("min", "low"), ("max", "high"), ("n", "n"), ("above", "above"))
JOBS = [
    Job("stats", "statistics", "ref_stats", same=STATS),
    Job("lz4stats", "lz4 + statistics", "ref_stats", lz4=True, same=STATS),
    Job("i16", "int16 to float32 in a populated array", "ref_i16", out_ratio=2, same=(("sum", "sum"),)),
    Job("lz4scale", "lz4 + scale in a populated array", "ref_scale", lz4=True, out_ratio=1,
        same=(("sum", "sum"),)),
    Job("branchy", "map with a branch + histogram", "ref_branchy",
        same=(("n", "n"), ("weighted", "weighted"))),
]


def result_of(run):
    """What the job found: its state, or what the driver says of the array."""
    state = dict(run.get("state") or {})
    if "counts" in state:
        state["n"] = sum(state["counts"])
        state["weighted"] = sum(i * c for i, c in enumerate(state["counts"]))
    return state


def check_same(same, sides, result=result_of):
    """All sides of a row must agree with the first reference. result: what LSIO's side found."""
    want = next(s for name, s in sides.items() if name.startswith("C"))
    for name, side in sides.items():
        got = side if name.startswith("C") else result(side)
        for in_ref, in_job in same:
            key = in_ref if name.startswith("C") else in_job
            if key not in got:
                raise Failed(f"{name} has no {key}")
            near(got[key], want[in_ref], f"{key} of {name}", 1e-8)


class JobTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.best = {}

    def paths(self, job):
        # Half of the files where results are placed: the array is twice as large as they are.
        return self.d.lz4 if job.lz4 else self.d.f32[:len(self.d.f32) // max(1, job.out_ratio)]

    def element_bytes(self, job):
        return self.d.decoded_bytes if job.lz4 else len(self.paths(job)) * self.d.size["f32_size"]

    def as_bytes(self, job, result):
        """Rates are of elements, decoded."""
        n = self.element_bytes(job)
        return dict(result, bytes=n, gb_per_s=n / result["wall_s"] / 1e9,
                    cpu_per_gb=result["cpu_s"] / n * 1e9)

    def parameters(self, job):
        out = ["--ranges", self.d.ranges("lz4")] if job.lz4 else []
        if job.lz4 and job.out_ratio:
            out += ["--elements", str(self.element_bytes(job) // 4)]
        return out + self.paths(job)

    def lsio(self, job, workers, direct):
        def side():
            script, words = self.t.job(job.script), self.parameters(job)
            if not job.out_ratio:
                r = run_lsio(self.t.lsio, script, [f"-j{workers}", f"--direct={direct}"], words)
                return self.as_bytes(job, r)
            r = run_json([self.t.ref("drive_output"), f"--set=workers={workers}", f"--set=direct={direct}",
                          f"--bytes={self.element_bytes(job) * job.out_ratio}", script, "--", *words],
                         of=lambda out: {"wall_s": out["summary"]["wall_s"],
                                         "cpu_s": out["summary"]["cpu_s"],
                                         "ops": out["summary"]["operations"],
                                         "bytes": out["summary"]["bytes_read"],
                                         "summary": out["summary"], "state": {"sum": out["sum"]}})
            return self.as_bytes(job, r)
        return side

    def c(self, job, threads, modes):
        """The fastest of its modes, found by three runs of each."""
        def run(mode):
            codec = ["--codec=lz4", f"--ranges={self.d.ranges('lz4')}", f"--decoded={CHUNK}"]
            return self.as_bytes(job, run_json([
                self.t.ref(job.ref), f"--threads={threads}", f"--mode={mode}",
                *(codec if job.lz4 else []), *self.paths(job)]))

        def side():
            key = (job.name, threads, modes)
            if key not in self.best:
                self.best[key] = min(modes, key=lambda m: min(run(m)["wall_s"] for _ in range(3)))
            return dict(run(self.best[key]), mode=self.best[key])
        return side

    def rows(self):
        return [*self.speed_rows(), *self.scaling_rows()]

    def speed_rows(self):
        for job in JOBS:
            def check(sides, same=job.same):
                check_same(same, sides)

            yield Row(f"{job.name}-warm", f"{job.what}, page cache, 2 workers",
                      {"lsio": self.lsio(job, 2, "never"), "C": self.c(job, 2, CACHED)},
                      [rate("speed", "C", 0.95), cost("CPU", "C", None)],
                      before=lambda j=job: self.d.warm(self.paths(j)), check=check)
            yield Row(f"{job.name}-direct", f"{job.what}, O_DIRECT, 2 workers",
                      {"lsio": self.lsio(job, 2, "always"), "C": self.c(job, 2, DIRECT)},
                      [rate("speed", "C", 0.95), cost("CPU", "C", 1.05)], check=check)

    def scaling_rows(self):
        for job in JOBS:
            sides = {"lsio": self.lsio(job, 2, "never"), "lsio-1": self.lsio(job, 1, "never"),
                     "C": self.c(job, 2, CACHED), "C-1": self.c(job, 1, CACHED)}
            yield Row(f"{job.name}-scaling", f"{job.what}, page cache: two workers over one, against C's",
                      sides, [Metric("speed-up",
                                     lambda s: s["lsio"]["gb_per_s"] / s["lsio-1"]["gb_per_s"],
                                     lambda s: s["C"]["gb_per_s"] / s["C-1"]["gb_per_s"],
                                     ">=", 0.97, "C", "x")],
                      before=lambda j=job: self.d.warm(self.paths(j)),
                      check=lambda sides, same=job.same: check_same(same, sides))
