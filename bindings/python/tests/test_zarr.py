"""As a store of zarr-python's: by its own tests of stores, and against its local store."""

import asyncio
import itertools
import os
import pickle

import numpy as np
import pytest

import lsio

zarr = pytest.importorskip("zarr", minversion="3")
pytest.importorskip("pytest_asyncio")

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest  # noqa: E402
from zarr.core.buffer import cpu, default_buffer_prototype  # noqa: E402
from zarr.storage import LocalStore  # noqa: E402
from zarr.testing.store import StoreTests  # noqa: E402

from lsio.zarr import LsioStore  # noqa: E402


class Writing(LsioStore):
    """Reads by LSIO; zarr's tests write what they read, which its LocalStore does."""

    supports_writes = True
    supports_deletes = True

    def __init__(self, root, *, read_only=False):
        super().__init__(root)
        self._read_only = read_only
        self._local = LocalStore(root, read_only=read_only)

    def with_read_only(self, read_only=False):
        return type(self)(self.root, read_only=read_only)

    async def set(self, key, value):
        self._check_writable()
        await self._local.set(key, value)

    async def delete(self, key):
        self._check_writable()
        await self._local.delete(key)

    async def delete_dir(self, prefix):
        self._check_writable()
        await self._local.delete_dir(prefix)

    async def clear(self):
        self._check_writable()
        await self._local.clear()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestStore(StoreTests[Writing, cpu.Buffer]):
    """Left out: set_sync, delete_sync, which are about writing (skipped by zarr itself)."""

    store_cls = Writing
    buffer_cls = cpu.Buffer

    async def get(self, store, key):
        return self.buffer_cls.from_bytes((store.root / key).read_bytes())

    async def set(self, store, key, value):
        path = store.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.to_bytes())

    @pytest.fixture
    def store_kwargs(self, tmp_path):
        return {"root": str(tmp_path)}

    @pytest.fixture
    def store(self, open_kwargs):
        return asyncio.run(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs):
        return self.store_cls(**store_kwargs)

    def test_store_repr(self, store):
        assert str(store) == store.root.as_uri() and "Writing" in repr(store)

    def test_store_supports_writes(self, store):
        assert store.supports_writes and not LsioStore.supports_writes

    def test_store_supports_listing(self, store):
        assert store.supports_listing


def buffer(data):
    return default_buffer_prototype().buffer.from_bytes(data)


requests = [None, *(RangeByteRequest(a, b) for a, b in ((0, 0), (0, 3), (2, 99), (9, 12))),
            OffsetByteRequest(0), OffsetByteRequest(9), OffsetByteRequest(40),
            SuffixByteRequest(1), SuffixByteRequest(40)]  # fmt: skip


def test_parts_of_values(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(10)))
    (tmp_path / "folder").mkdir()
    ours, local = LsioStore(tmp_path), LocalStore(tmp_path, read_only=True)

    async def run():
        some = default_buffer_prototype()
        asked = [(key, r) for key in ("a", "folder", "none", "a/b") for r in requests]
        got = [await ours.get(key, some, r) for key, r in asked]
        assert [b and b.to_bytes() for b in await ours.get_partial_values(some, asked)] == [
            b and b.to_bytes() for b in got
        ]
        for (key, r), b in zip(asked, got, strict=True):
            again = ours.get_sync(key, byte_range=r)
            assert (again is None) == (b is None) and (b is None or again.to_bytes() == b.to_bytes())
            if key == "a" and not (isinstance(r, RangeByteRequest) and r.start == r.end):
                assert b.to_bytes() == (await local.get(key, some, r)).to_bytes(), r
            assert (b is None) == (key != "a")

    asyncio.run(run())


@pytest.mark.parametrize(
    "wanted",
    [RangeByteRequest(-5, 2), RangeByteRequest(5, 2), OffsetByteRequest(-4)],
    ids=["before", "backwards", "offset"],
)
def test_what_is_no_request(tmp_path, wanted):
    """An error, not other bytes than those asked for."""
    (tmp_path / "a").write_bytes(bytes(10))
    store, some = LsioStore(tmp_path), default_buffer_prototype()
    for key in ("a", "none"):
        for ask in (
            lambda key=key: asyncio.run(store.get(key, some, wanted)),
            lambda key=key: store.get_sync(key, byte_range=wanted),
            lambda key=key: asyncio.run(store.get_partial_values(some, [(key, wanted)])),
        ):
            with pytest.raises(ValueError, match="no range"):
                ask()
    with pytest.raises((ValueError, OSError)):
        asyncio.run(LocalStore(tmp_path, read_only=True).get("a", some, wanted))


def test_no_such_folder(tmp_path):
    some = default_buffer_prototype()
    for cls, more in ((LsioStore, {}), (LocalStore, {"read_only": True})):
        store = cls(tmp_path / "none", **more)
        for ask in (
            lambda store=store: asyncio.run(store.get("zarr.json", some)),
            lambda store=store: zarr.open_array(store, mode="r"),
        ):
            with pytest.raises(FileNotFoundError, match="does not exist"):
                ask()
    for ask in (
        lambda: LsioStore(tmp_path / "none").get_sync("zarr.json"),
        lambda: asyncio.run(LsioStore(tmp_path / "none").get_partial_values(some, [("zarr.json", None)])),
    ):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            ask()


def replacing(monkeypatch, path, sizes):
    """Another value, or for None nothing, takes the file's place once its size has been asked for."""
    real, left = os.stat, iter(sizes)

    def stat(name, *args, **kwargs):
        found = real(name, *args, **kwargs)
        if os.fspath(name) == str(path):
            size = next(left, 0)
            if size is None:
                path.unlink()
            elif size:
                path.with_suffix(".new").write_bytes(bytes([size]) * size)
                os.replace(path.with_suffix(".new"), path)
        return found

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("size", [5, 10, 20, None])
def test_a_value_that_is_replaced(tmp_path, monkeypatch, size):
    """All of the old one or all of the new one, as of LocalStore; never a part."""
    path, some = tmp_path / "a", default_buffer_prototype()
    (tmp_path / "b").write_bytes(b"other")
    store = LsioStore(tmp_path)
    asked = [("b", None), ("a", None), ("a", SuffixByteRequest(3))]
    for ask in (
        lambda: [asyncio.run(store.get("a", some))],
        lambda: [store.get_sync("a")],
        lambda: asyncio.run(store.get_partial_values(some, asked))[1:],
    ):
        path.write_bytes(b"x" * 10)
        with monkeypatch.context() as m:
            replacing(m, path, [size])
            got = [b and b.to_bytes() for b in ask()]
        new = None if size is None else bytes([size]) * size
        assert got == [new, new and new[-3:]][: len(got)]


def test_a_value_that_never_stands_still(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    replacing(monkeypatch, path, itertools.cycle((11, 12)))
    with pytest.raises(OSError, match="changes while"):
        LsioStore(tmp_path).get_sync("a")
    with pytest.raises(OSError, match="changes while"):
        asyncio.run(LsioStore(tmp_path).get("a", default_buffer_prototype()))


def test_it_only_reads(tmp_path):
    store = LsioStore(tmp_path)
    assert store.read_only and pickle.loads(pickle.dumps(store)) == store and store != LsioStore("/")
    for ask in (
        lambda: store.set("a", buffer(b"x")),
        lambda: store.set_if_not_exists("a", buffer(b"x")),
        lambda: store.delete("a"),
        lambda: store.delete_dir("a"),
        lambda: store.clear(),
    ):
        with pytest.raises(ValueError, match="LocalStore"):
            asyncio.run(ask())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "more",
    [
        {"compressors": None},
        {"compressors": zarr.codecs.ZstdCodec()},
        {"compressors": zarr.codecs.BloscCodec(cname="lz4")},
        {"compressors": zarr.codecs.GzipCodec(), "shards": (40, 60)},
        {"zarr_format": 2},
    ],
    ids=["plain", "zstd", "blosc", "shards", "v2"],
)
def test_arrays(tmp_path, more):
    values = np.random.default_rng(1).integers(0, 9, (123, 77)).astype("f4")
    values[40:80, :60] = 0  # chunks that are not written
    a = zarr.create_array(LocalStore(tmp_path), shape=values.shape, chunks=(20, 30), dtype="f4", **more)
    a[:] = values
    b = zarr.open_array(LsioStore(tmp_path), mode="r")
    assert (b[:] == values).all() and (b[5:50, 70] == values[5:50, 70]).all()
    assert (b.oindex[[1, 122], [0, 3]] == values[np.ix_([1, 122], [0, 3])]).all()
    with pytest.raises(ValueError):
        b[0] = 1
    own = zarr.open_array(LsioStore(tmp_path, context=lsio.Context(workers=1)), mode="r")
    assert (own[::3] == values[::3]).all()


def test_a_tree(tmp_path):
    root = zarr.create_group(LocalStore(tmp_path))
    for i in range(3):
        root.create_array(f"below/{i}", data=np.full(10, i), chunks=(4,))
    found = zarr.open_group(LsioStore(tmp_path), mode="r")
    assert sorted(found["below"]) == ["0", "1", "2"] and (found["below/2"][:] == 2).all()
