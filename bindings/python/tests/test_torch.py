"""A DataLoader over chunks: nothing hangs after a fork, and nothing is seen twice."""

import faulthandler
import os
import signal

import numpy as np
import pytest

import lsio

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from lsio.torch import ChunkDataset  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
CHUNK = 1000  # elements
TWICE = "function(c) for i = 0, c.n - 1 do c.out[i] = 2 * c.data[i] end return c.n end"
TIMEOUT = 60


@pytest.fixture(autouse=True)
def no_hang():
    """End a test that hangs, as an error of it."""

    def late(number, frame):
        faulthandler.dump_traceback()
        raise TimeoutError(f"not done after {TIMEOUT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(TIMEOUT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def numbers(tmp_path):
    """Files of int64 that count on."""
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"{i}.i64")
        np.arange(i * 20 * CHUNK, (i + 1) * 20 * CHUNK, dtype="i8").tofile(paths[-1])
    return paths


def dataset(paths, **more):
    return ChunkDataset(lsio.files(paths, chunk=CHUNK * 8), type=np.int64, **more)


def all_once(tensors, total=60 * CHUNK, factor=1):
    seen = np.sort(torch.cat(list(tensors)).numpy())
    return seen.size == total and (seen == factor * np.arange(total)).all()


def test_tensors_are_not_copies(numbers):
    for tensor in dataset(numbers):
        array = tensor.numpy()
        assert tensor.dtype == torch.int64 and array.size == CHUNK and not array.flags.owndata
        first = int(tensor[0])
        tensor += 1  # writable
        assert int(array[0]) == first + 1
    assert all_once(dataset(numbers)) and all_once(dataset(numbers, copy=True))


def test_all_may_be_kept_of_copies(tmp_path):
    np.zeros(16 << 20, "u1").tofile(tmp_path / "x")
    source = lsio.files(tmp_path / "x", chunk=1 << 16)
    context = lsio.Context(workers=1, memory="8MiB")
    kept = list(ChunkDataset(source, copy=True, context=context))
    assert len(kept) == 256 and sum(len(x) for x in kept) == 16 << 20


def test_four_forked_workers_after_the_parent_has_used_lsio(numbers):
    context = lsio.Context(workers=2)
    busy = lsio.submit(lsio.ranges([str(numbers[0])] * 50), "function() local t = os.clock() + 0.01 "
                       "while os.clock() < t do end end", state="double n;", reduce="sum")  # fmt: skip
    for i in range(20):
        signal.alarm(TIMEOUT)
        assert lsio.get_range(numbers[0], start=8, length=8).view("i8")[0] == 1
        more = {} if i % 2 else {"context": context}
        assert all_once(dataset(numbers, **more))
        loader = DataLoader(dataset(numbers, transform=TWICE, out_max=CHUNK, **more), batch_size=None,
                            num_workers=4, multiprocessing_context="fork")  # fmt: skip
        assert all_once(loader, factor=2), i
    busy.cancel()


def test_workers_that_stay(numbers):
    loader = DataLoader(dataset(numbers, context=lsio.Context()), batch_size=None, num_workers=4,
                        persistent_workers=True, multiprocessing_context="fork")  # fmt: skip
    for _ in range(3):
        assert all_once(loader)


def test_who_stops_early(numbers):
    for workers in (0, 4):
        loader = DataLoader(dataset(numbers), batch_size=None, num_workers=workers)
        for tensor in loader:
            assert len(tensor) == CHUNK
            break
        del loader


def test_batches_of_equal_chunks(numbers):
    loader = DataLoader(dataset(numbers), batch_size=5, num_workers=4, multiprocessing_context="fork")
    stacked = list(loader)
    assert all(x.shape[1:] == (CHUNK,) and len(x) <= 5 for x in stacked)
    assert all_once(x.flatten() for x in stacked)


def test_spawned_workers(numbers):
    loader = DataLoader(dataset(numbers, context=lsio.Context(workers=1)), batch_size=None, num_workers=2,
                        multiprocessing_context="spawn")  # fmt: skip
    assert all_once(loader)


def test_shards_of_processes_that_train_together(numbers):
    parts = []
    for rank in range(2):
        loader = DataLoader(dataset(numbers, shard=(rank, 2)), batch_size=None, num_workers=3)
        parts.append(list(loader))
    assert all(0 < len(p) < 60 for p in parts) and all_once(parts[0] + parts[1])


def test_ranges(numbers):
    starts = np.arange(20, dtype=np.int64)[::-1] * CHUNK * 8
    source = lsio.ranges(numbers[0], offset=starts, length=np.full(20, CHUNK * 8))
    loader = DataLoader(ChunkDataset(source, type=np.int64), batch_size=None, num_workers=4)
    assert all_once(loader, total=20 * CHUNK)


def test_errors_reach_the_loader(numbers):
    gone = [*numbers, os.fspath(numbers[0]) + ".none"]
    with pytest.raises(FileNotFoundError):
        list(dataset(gone))
    with pytest.raises(lsio.Error):
        list(DataLoader(dataset(gone), batch_size=None, num_workers=2))
    with pytest.raises(TypeError, match="reduce, state"):
        dataset(numbers, state="double n;", reduce="sum")


def test_text_is_bytes(numbers):
    names = list(dataset(numbers, transform="function(c) return c.name end"))
    assert sorted(set(names)) == [os.fsencode(p) for p in numbers]
