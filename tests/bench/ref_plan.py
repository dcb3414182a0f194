#!/usr/bin/python3
"""Reference: ranges to sorted, merged reads in numpy. Prints JSON; imports and loading are not timed."""
import json
import sys
import time

import numpy as np

if len(sys.argv) != 3 or sys.argv[1] == "--help":
    sys.exit("ref_plan.py RANGES.npy GAP: sort by (object, offset), merge where the gap is below GAP")
rows = np.load(sys.argv[1])
obj, off, length = (np.ascontiguousarray(rows[:, i]) for i in range(3))
gap = int(sys.argv[2])
t0, c0 = time.perf_counter(), time.process_time()
key = (obj << 48) | off
order = np.argsort(key)
start = key[order]
end = np.maximum.accumulate(start + length[order])
first = np.empty(start.size, bool)
first[0] = True
np.greater(start[1:], end[:-1] + gap, out=first[1:])
begin = np.flatnonzero(first)
read_start = start[begin]
read_end = end[np.append(begin[1:], start.size) - 1]
wall, cpu = time.perf_counter() - t0, time.process_time() - c0
print(json.dumps({"wall_s": wall, "cpu_s": cpu, "ops": int(begin.size),
                  "bytes": int((read_end - read_start).sum())}))
