"""The rows of jobs that write: files to one new npy file, durable, against C that writes the same file with
O_DIRECT."""
import os

import numpy as np

from bench_measure import Failed, run_json, run_lsio
from bench_row import Row, cost, near, rate

JOBS = (("npycopy", "copy to npy", 1), ("npyi16", "int16 to float32 to npy", 2))
LOOK = 4099  # one element in so many is compared


class WriteTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.paths = data.f32[:max(4, len(data.f32) // 2)]
        self.out = os.path.join(getattr(data, "dir", ""), "written.npy")

    def written(self, result, ratio):
        """The whole process counts, from reserving the file to its name; then the file goes."""
        n = len(self.paths) * self.d.size["f32_size"]
        values = np.load(self.out, mmap_mode="r")
        if values.nbytes != n * ratio or values.dtype != np.dtype("<f4"):
            raise Failed(f"the output holds {values.shape} of {values.dtype}")
        result["sum"] = float(values[::LOOK].sum(dtype="f8"))
        del values
        os.unlink(self.out)
        wall, cpu = result["process_wall_s"], result["process_cpu_s"]
        return dict(result, wall_s=wall, cpu_s=cpu, bytes=n * ratio, gb_per_s=n * ratio / wall / 1e9,
                    cpu_per_gb=cpu / (n * ratio) * 1e9)

    def lsio(self, script, ratio, direct):
        return lambda: self.written(run_lsio(
            self.t.lsio, self.t.job(script), ["-j2", f"--direct={direct}"],
            ["--output", self.out, *self.paths]), ratio)

    def c(self, ratio, mode):
        return lambda: self.written(run_json([
            self.t.ref("ref_write"), f"--mode={mode}", *(["--convert"] if ratio == 2 else []),
            f"--out={self.out}", *self.paths]), ratio)

    @staticmethod
    def check(sides):
        near(sides["lsio"]["sum"], sides["C"]["sum"], "the sum of some elements", 1e-12)

    def rows(self):
        for script, what, ratio in JOBS:
            yield Row(f"{script}-warm", f"{what}, from the page cache, 2 workers",
                      {"lsio": self.lsio(script, ratio, "auto"), "C": self.c(ratio, "pread")},
                      [rate("written", "C", 0.95), cost("CPU", "C", None)],
                      before=lambda: self.d.warm(self.paths), check=self.check)
            yield Row(f"{script}-direct", f"{what}, O_DIRECT both ways, 2 workers",
                      {"lsio": self.lsio(script, ratio, "always"), "C": self.c(ratio, "direct")},
                      [rate("written", "C", 0.95), cost("CPU", "C", 1.05)], check=self.check)
