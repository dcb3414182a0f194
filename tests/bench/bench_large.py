"""Rows of large files by pieces: SHA-256, and decoding, against the programs that do the same at a prompt. Times are of
whole processes, start included."""
import os
import re
import subprocess
import tempfile
import time

from bench_measure import Failed, figures, run_lsio
from bench_row import Metric, Row, cost, of, rate

MEMORY = 64 << 20
MANIFEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "manifest.lua")
HASHES = {"sha256sum": "sha256sum", "openssl": "openssl dgst -sha256 -r"}
DECODERS = {"zst": ("zstd",), "gz": ("igzip", "pigz")}
JOBS = {"zst": "zstd", "gz": "gzip"}
MANY = 8  # of 256 MiB


def run_together(commands):
    """Shell commands side by side, until the last has ended. -> their figures and what they printed."""
    out = [tempfile.TemporaryFile("w+") for _ in commands]
    err = [tempfile.TemporaryFile("w+") for _ in commands]
    start, cpu, failed = time.perf_counter(), 0.0, None
    running = [subprocess.Popen(["bash", "-o", "pipefail", "-c", c], stdin=subprocess.DEVNULL, stdout=o, stderr=e)
               for c, o, e in zip(commands, out, err)]
    for p, command, e in zip(running, commands, err):
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime  # of all that the shell waited for
        if p.returncode:
            e.seek(0)
            failed = failed or f"{command.split()[0]} ended with {p.returncode}: {' '.join(e.read().split())[:300]}"
    wall = time.perf_counter() - start
    for f in out:
        f.seek(0)
    printed = "".join(f.read() for f in out)
    for f in out + err:
        f.close()
    if failed:
        raise Failed(failed)
    return {"process_wall_s": wall, "process_cpu_s": cpu, "peak_bytes": 0}, printed


def whole(run, n):
    """Rates are of decoded bytes and of the whole process."""
    return dict(run, **figures({"wall_s": run["process_wall_s"], "cpu_s": run["process_cpu_s"], "ops": 0,
                                "bytes": n}, {}))


def digests(text):
    return sorted(re.findall(r"^[0-9a-f]{64}", text, re.M))


class LargeTable:
    def __init__(self, tools, data):
        self.t, self.d = tools, data
        self.many = min(MANY, len(data.f32)) or MANY

    # -- what is read
    def paths(self, kind, files):
        """One large file, two of them, or some that are smaller and plain."""
        return self.d.f32[:MANY] if files > 2 else [self.d.large(i, kind) for i in range(files)]

    def size(self, files):
        return files * (self.d.size["f32_size"] if files > 2 else self.d.large_size())

    # -- LSIO
    def run(self, kind, files, job, sample=False):
        options = [f"-j{min(files, 2)}", f"--memory={MEMORY}", "--direct=never"]
        paths = self.paths(kind, files)
        if job:
            r = run_lsio(self.t.lsio, self.t.job(JOBS[kind] + job), options, paths, sample)
            r["digests"] = sorted(r["state"].get("digests", ()))
            r["found"] = r["state"].get("n", 0)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                out = os.path.join(scratch, "manifest.txt")
                r = run_lsio(self.t.lsio, MANIFEST, options, [f"--out={out}", *paths], sample)
                with open(out, encoding="utf-8") as f:
                    r["digests"] = digests(f.read())
        return whole(r, self.size(files))

    def lsio(self, kind, files, job):
        return lambda: self.run(kind, files, job)

    def memory(self, kind, files, job):
        """Sampled in one run apart, which the sampling may slow down."""
        seen = []

        def side():
            if not seen:
                r = self.run(kind, files, job, sample=True)
                r["budget"] = (MEMORY + sum(len(p) + 128 for p in self.paths(kind, files)) + (32 << 20)
                               + min(files, 2) * (2 << 20))
                seen.append(r)
            return seen[0]
        return side

    # -- references
    def together(self, kind, files, command, n=None):
        """`command`, with {} for a path, once for each of the files (of the first n)."""
        def side():
            paths = self.paths(kind, files)[:n]
            if files > 2:
                commands = [f"printf '%s\\0' {' '.join(paths)} | xargs -0 -P2 -n1 {command.format('')}"]
            else:
                commands = [command.format(p) for p in paths]
            r, printed = run_together(commands)
            return dict(whole(r, self.size(files) * len(paths) // files), digests=digests(printed))
        return side

    # -- rows
    def rows(self):
        return [*self.plain_rows(), *self.decoding_rows(), *self.coded_rows()]

    def row(self, name, what, kind, files, job, sides, metrics):
        def before():
            self.d.warm(self.paths(kind, files))

        def check(run):
            want = next((s["digests"] for n, s in run.items() if n not in ("lsio", "memory") and
                         len(s["digests"]) == files), [])
            for side in ("lsio", "memory"):
                if job == "ends" and run[side]["found"] != self.size(files):
                    raise Failed(f"wrong result: {run[side]['found']} bytes decoded of {self.size(files)}")
                if job != "ends" and (len(want) != files or run[side]["digests"] != want):
                    raise Failed(f"wrong result: {run[side]['digests']}, not {want}")
        workers = min(files, 2)
        return Row(name, f"{what}, by pieces of 1 MiB, page cache, {workers} worker{'s'[:workers - 1]}, "
                   "--memory 64MiB",
                   {"lsio": self.lsio(kind, files, job), "memory": self.memory(kind, files, job), **sides},
                   [*metrics, Metric("memory", of("memory", "peak_bytes"), of("memory", "budget"), "<=", 1.0,
                                     "budget", "B")], before, check=check)

    def plain_rows(self):
        for files, name, what in ((1, "1", "a large file"), (2, "2", "two large files"),
                                  (self.many, "many", f"{self.many} large files")):
            sides, metrics = {}, []
            for tool, command in HASHES.items():
                sides[tool] = self.together("bin", files, command + " {}")
                metrics += [rate("speed", tool, 0.95 if files == 1 else 0.9), cost("CPU", tool, None)]
                if files == 2:
                    sides[f"one {tool}"] = self.together("bin", files, command + " {}", 1)
                    metrics.append(rate("speed", f"one {tool}", 1.8))
            yield self.row(f"large-sha-{name}", f"SHA-256 of {what}", "bin", files, None, sides, metrics)

    def decoding_rows(self):
        for kind, tools in DECODERS.items():
            for files in (1, 2):
                yield self.row(f"large-{JOBS[kind]}-{files}", f"decoding of {files} large {JOBS[kind]} "
                               f"file{'s'[:files - 1]}", kind, files, "ends",
                               {t: self.together(kind, files, t + " -dc {} >/dev/null") for t in tools},
                               [m for t in tools for m in (rate("speed", t, 0.95), cost("CPU", t, None))])

    def coded_rows(self):
        """A decoder and a hash in a pipe are two processes at once. With one file they have a CPU more than LSIO's
        worker, which counts where the hash is as quick as the decoder: then there is no bar."""
        for kind, tools in DECODERS.items():
            pipes = {f"{t} to {h}": f"{t} -dc {{}} | {HASHES[h]}" for t in tools for h in HASHES
                     if (t, h) != ("pigz", "openssl")}
            for files in (1, 2):
                yield self.row(f"large-{JOBS[kind]}sha-{files}", f"SHA-256 of {files} large {JOBS[kind]} "
                               f"file{'s'[:files - 1]}", kind, files, "sha",
                               {name: self.together(kind, files, p) for name, p in pipes.items()},
                               [m for name in pipes for m in
                                (rate("speed", name, None if files == 1 and "openssl" in name else 0.95),
                                 cost("CPU", name, None))])
