"""Rows of data from standard input, against C that reads the same pipe. Times are of both ends of the pipe."""
import json
import os
import tempfile

from bench_jobs import STATS, check_same
from bench_large import run_together, whole
from bench_row import Row, cost, rate


class StdinTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data

    def rows(self):
        for workers in (1, 2):
            yield Row(f"stdin-stats-{workers}",
                      f"cat | statistics in steps of 1 MiB, page cache, {workers} worker{'s'[:workers - 1]}",
                      {"lsio": self.lsio(workers), "C": self.c}, [rate("speed", "C", 0.95), cost("CPU", "C", None)],
                      before=lambda: self.d.warm(self.d.f32), check=lambda sides: check_same(STATS, sides))

    def piped(self, into):
        n = len(self.d.f32) * self.d.size["f32_size"]
        run, printed = run_together([f"cat {' '.join(self.d.f32)} | {into}"])
        return whole(run, n), printed

    def lsio(self, workers):
        def side():
            with tempfile.TemporaryDirectory() as scratch:
                path = os.path.join(scratch, "s.json")
                run, _ = self.piped(f"{self.t.lsio} -j{workers} --json={path} --progress=never "
                                    f"{self.t.job('stdinstats')}")
                with open(path, encoding="utf-8") as f:
                    return dict(run, state=json.load(f)["state"])
        return side

    def c(self):
        run, printed = self.piped(self.t.ref("ref_stdin"))
        return {**json.loads(printed), **run}
