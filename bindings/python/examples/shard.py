"""One part of a job, and all parts put together: how a job runs under Slurm, or by hand, in many processes.

shard.py run I N OUT FILE...     the I-th of N parts (from 0 on); its result goes to OUT
shard.py merge OUT...            what all parts have ended with, merged

srun -n 16 bash -c 'python shard.py run $SLURM_PROCID $SLURM_NTASKS part-$SLURM_PROCID.pickle data/*.f32'
python shard.py merge part-*.pickle
"""

import pickle
import sys

import lsio


def submit(paths: list[str], shard: tuple[int, int]) -> lsio.Job:
    """Submit one part."""
    return lsio.submit(
        lsio.files(paths, chunk="256KiB"),
        """function(chunk, state)
          local _, high = lsio.k.minmax(chunk.data)
          state.sum, state.n = state.sum + lsio.k.sum(chunk.data), state.n + chunk.n
          state.high = math.max(state.high, high)
        end""",
        type="f4",
        state="double sum, n, high;",
        reduce={"sum": "sum", "n": "sum", "high": "max"},
        shard=shard,
    )


def run(i: int, n: int, out: str, paths: list[str]) -> None:
    """Run one part and keep what it ended with."""
    result = submit(paths, (i, n)).result()
    with open(out, "wb") as f:
        pickle.dump(result, f)


def merge(parts: list[str]) -> None:
    """Print the figures of the whole."""
    results = []
    for part in parts:
        with open(part, "rb") as f:
            results.append(pickle.load(f))
    state = lsio.Job.merge(results).state
    print(f"n {state['n']:.0f}  mean {state['sum'] / state['n']:.6f}  max {state['high']:.6g}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if sys.argv[1] == "run":
        run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
    else:
        merge(sys.argv[2:])
