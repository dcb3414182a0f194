"""Running one side of a benchmark once, and what several runs say about a ratio."""
import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time


class Failed(Exception):
    """A side that did not run, or gave a wrong result."""


def run_process(argv, sample_memory=False):
    """-> (stdout, figures of the whole process). Raises Failed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        p = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        peak = [0]
        watcher = None
        if sample_memory:
            watcher = threading.Thread(target=watch_memory, args=(p.pid, peak))
            watcher.start()
        _, status, usage = os.wait4(p.pid, 0)
        wall = time.perf_counter() - start
        p.returncode = os.waitstatus_to_exitcode(status)
        if watcher:
            watcher.join()
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if p.returncode:
        raise Failed(f"{os.path.basename(argv[0])} ended with {p.returncode}: "
                     f"{' '.join(stderr.split())[:300]}")
    return stdout, {"process_wall_s": wall, "process_cpu_s": usage.ru_utime + usage.ru_stime,
                    "peak_bytes": peak[0]}


def watch_memory(pid, peak):
    """Peak of RssAnon + RssShmem: page cache that is only mapped is not the job's memory."""
    while True:
        total = 0
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                for line in f:
                    if line.startswith(("RssAnon:", "RssShmem:")):
                        total += int(line.split()[1]) * 1024
        except OSError:
            return
        if total == 0 and peak[0]:
            return  # it has ended and waits to be reaped
        peak[0] = max(peak[0], total)
        time.sleep(0.001)


def figures(raw, process):
    """Adds rates and costs to wall_s, cpu_s, ops and bytes."""
    f = dict(raw, **process)
    f["ops_per_s"] = f["ops"] / f["wall_s"] if f["ops"] else 0.0
    f["gb_per_s"] = f["bytes"] / f["wall_s"] / 1e9
    f["us_per_op"] = f["cpu_s"] / f["ops"] * 1e6 if f["ops"] else 0.0
    f["cpu_per_gb"] = f["cpu_s"] / f["bytes"] * 1e9 if f["bytes"] else 0.0
    return f


def run_json(argv, of=lambda printed: printed):
    """A reference: prints one JSON object, of which `of` makes the figures."""
    out, process = run_process(argv)
    return figures(of(json.loads(out)), process)


def run_lsio(lsio, script, options, params, sample_memory=False):
    """A job by the runner; its figures come from the summary."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "summary.json")
        argv = [lsio, f"--json={path}", "--progress=never", *options, script, *params]
        _, process = run_process(argv, sample_memory)
        with open(path, encoding="utf-8") as f:
            s = json.load(f)
    raw = {"wall_s": s["wall_s"], "cpu_s": s["cpu_s"], "ops": s["operations"],
           "bytes": s["bytes_read"], "summary": s, "state": s.get("state") or {}}
    return figures(raw, process)


FIO_TUNED = ["--iodepth_batch_submit=32", "--iodepth_batch_complete_min=1",
             "--iodepth_batch_complete_max=32", "--fixedbufs", "--registerfiles"]


def run_fio(paths, depth, count, block, tuned):
    """fio's io_uring engine at this depth, with its defaults or with its best settings for random
    O_DIRECT reads; its CPU is the job's own, without set-up."""
    out, process = run_process([
        "fio", "--name=bench", "--ioengine=io_uring", "--rw=randread", "--direct=1",
        f"--bs={block}", f"--iodepth={depth}", *(FIO_TUNED if tuned else []), "--thread",
        "--norandommap", f"--number_ios={count}", f"--filename={':'.join(paths)}",
        "--output-format=json"])
    job = json.loads(out[out.index("{"):])["jobs"][0]
    wall = job["read"]["runtime"] / 1e3
    return figures({"wall_s": wall, "cpu_s": wall * (job["usr_cpu"] + job["sys_cpu"]) / 100,
                    "ops": job["read"]["total_ios"], "bytes": job["read"]["io_bytes"]}, process)


def count_instructions(argv):
    """What callgrind counts in a whole process."""
    with tempfile.NamedTemporaryFile("r", suffix=".callgrind") as f:
        run_process(["valgrind", "--tool=callgrind", f"--callgrind-out-file={f.name}", *argv])
        for line in f:
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1])
    raise Failed("callgrind wrote no total")


def interval(values):
    """The 95 % interval of the median from order statistics (the whole range below 6 values)."""
    v = sorted(values)
    n = len(v)
    k = 0  # values to leave out at each end
    tail = 0.0
    for i in range(n // 2):
        tail += math.comb(n, i) / 2 ** n
        if 2 * tail > 0.05:
            break
        k = i
    return statistics.median(v), v[k], v[n - 1 - k]
