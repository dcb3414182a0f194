"""Statistics of a million ranges of a file, each by LSIO's threads: range_statistics.py FILE [RANGES]."""

import sys

import numpy as np

import lsio

TRANSFORM = """function(chunk, state)
  lsio.k.moments(chunk.data, nil, state.m)
  local low, high = lsio.k.minmax(chunk.data)
  state.low, state.high = math.min(state.low, low), math.max(state.high, high)
end"""


def main(path: str, n: int = 1_000_000) -> None:
    """Print count, mean, standard deviation and limits of float32 in `n` ranges of 4 KiB."""
    pages = max(1, np.memmap(path, np.uint8, "r").size // 4096)
    starts = np.random.default_rng(1).integers(0, pages, n) * 4096
    job = lsio.submit(
        lsio.ranges(path, offset=starts, length=4096),
        TRANSFORM,
        type="f4",
        state="lsio_moments m; double low, high;",
        reduce={"m": "moments", "low": "min", "high": "max"},
        progress=sys.stderr.isatty(),
    )
    state = job.result().state
    m = state["m"]
    print(f"n {m['n']:.0f}  mean {m['mean']:.6f}  sd {(m['m2'] / m['n']) ** 0.5:.6f}", end="  ")
    print(f"min {state['low']:.6g}  max {state['high']:.6g}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:3]))
