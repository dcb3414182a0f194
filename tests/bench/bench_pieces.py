"""Rows of large chunks that LSIO decodes by pieces, against C that decodes each whole, as everybody does."""
from bench_jobs import CACHED, STATS, check_same
from bench_measure import run_json, run_lsio
from bench_row import Row, cost, rate

LARGE, ONE_BLOCK = 32 << 20, 256 << 10
# name, data, codec, decoded bytes of a chunk, script, bar
ROWS = [
    ("pieces-blosc", "blosc", "blosc", LARGE, "bloscstats", 1.4),
    ("pieces-smooth", "smooth", "blosc", LARGE, "bloscstats", 1.4),
    ("pieces-oneblock", "blosc", "blosc", ONE_BLOCK, "bloscstats", 1.0),
    ("pieces-lz4", "lz4", "lz4", LARGE, "lz4pieces", 1.0),
    ("pieces-zstd", "zstd", "zstd", LARGE, "zstdpieces", 1.0),
]


class PieceTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.best = {}

    def rows(self):
        for name, data, codec, chunk, script, bar in ROWS:
            for workers in (1, 2):
                yield Row(f"{name}-{workers}",
                          f"{data} chunks of {chunk >> 10} KiB + statistics by pieces of 256 KiB, page "
                          f"cache, {workers} worker{'s'[:workers - 1]}",
                          {"lsio": self.lsio(data, chunk, script, workers),
                           "C": self.c(data, codec, chunk, workers)},
                          [rate("speed", "C", bar), cost("CPU", "C", None)],
                          before=lambda d=data, n=chunk: self.d.warm([self.d.coded(d, n)[0]]),
                          check=lambda sides: check_same(STATS, sides))

    @staticmethod
    def decoded(result, n):
        return dict(result, bytes=n, gb_per_s=n / result["wall_s"] / 1e9,
                    cpu_per_gb=result["cpu_s"] / n * 1e9)

    def lsio(self, data, chunk, script, workers):
        def side():
            path, ranges, n = self.d.coded(data, chunk)
            return self.decoded(run_lsio(self.t.lsio, self.t.job(script),
                                         [f"-j{workers}", "--direct=never"], ["--ranges", ranges, path]), n)
        return side

    def c(self, data, codec, chunk, threads):
        """The faster of pread and mapped, found by three runs of each."""
        def run(mode):
            path, ranges, n = self.d.coded(data, chunk)
            return self.decoded(run_json([self.t.ref("ref_stats"), f"--threads={threads}", f"--mode={mode}",
                                          f"--codec={codec}", f"--ranges={ranges}", f"--decoded={chunk}",
                                          path]), n)

        def side():
            key = (data, chunk, threads)
            if key not in self.best:
                self.best[key] = min(CACHED, key=lambda m: min(run(m)["wall_s"] for _ in range(3)))
            return dict(run(self.best[key]), mode=self.best[key])
        return side
