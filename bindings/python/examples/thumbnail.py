"""A small picture of a raw array that no memory holds: thumbnail.py FILE HEIGHT WIDTH [SIZE]."""

import sys

import numpy as np

import lsio


def thumbnail(path: str, height: int, width: int, size: int = 64) -> np.ndarray:
    """Return means of blocks of a uint8 array of (height, width), as (size, size)."""
    rows = height // size  # of a stripe, which becomes one row of the picture
    starts = np.arange(size, dtype=np.int64) * rows * width
    out = np.zeros((size, size))
    lsio.submit(
        lsio.ranges(path, offset=starts, length=rows * width),
        """function(chunk, state, params)
          local width, size = params.width, params.size
          local block = math.floor(width / size)
          for x = 0, size - 1 do chunk.out[x] = 0 end
          for y = 0, chunk.n / width - 1, params.step do
            local at = y * width
            for x = 0, size - 1 do
              local sum = 0
              for i = at + x * block, at + (x + 1) * block - 1 do sum = sum + chunk.data[i] end
              chunk.out[x] = chunk.out[x] + sum
            end
          end
          local n = math.ceil(chunk.n / width / params.step) * block
          for x = 0, size - 1 do chunk.out[x] = chunk.out[x] / n end
          return size
        end""",
        params={"width": width, "size": size, "step": max(1, rows // 16)},
        out=out,
        out_max=size,
    ).result()
    return out


def main(path: str, height: int, width: int, size: int = 64) -> None:
    """Print it in characters."""
    picture = thumbnail(path, height, width, size)
    for row in picture[:: max(1, size // 32)]:
        print("".join(" .:-=+*#%@"[min(9, int(v / 25.6))] for v in row))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:5]))
