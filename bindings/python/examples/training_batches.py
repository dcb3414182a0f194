"""Batches for training from files of float32 rows, normalised on the way: training_batches.py ROW FILE..."""

import sys
from collections.abc import Iterator

import numpy as np

import lsio


def batches(paths: list[str], row: int, rows: int = 256) -> Iterator[np.ndarray]:
    """Yield arrays of (rows, row), as they are completed, scaled to mean 0 and deviation 1 on the way."""
    job = lsio.submit(
        lsio.files(paths, chunk=row * rows * 4),
        """function(chunk, state, params)
          lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, 1 / params.sd, -params.mean / params.sd)
          return chunk.n
        end""",
        type="f4",
        out_max=row * rows,
        params={"mean": 0.5, "sd": 0.29},
    )
    with job:
        for batch in job:
            for chunk in batch:
                yield chunk.data.reshape(-1, row)


def main(row: int, paths: list[str]) -> None:
    """Read one epoch."""
    n, total = 0, 0.0
    for x in batches(paths, row):
        n += len(x)
        total += float(x.sum(dtype="f8"))
    print(f"{n} rows, mean {total / (n * row):.4f}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2:])
