"""As a file system of fsspec's: against its own local one, and by its own tests."""

import contextlib
import itertools
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lsio

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.local import LocalFileSystem  # noqa: E402
from fsspec.tests import abstract  # noqa: E402

from lsio.fsspec import LsioFileSystem  # noqa: E402


@pytest.fixture
def fs():
    return fsspec.filesystem("lsio")


@pytest.fixture
def local():
    return LocalFileSystem()


@pytest.fixture
def folder(tmp_path):
    for i, n in enumerate((0, 1, 4096, 100_001)):
        (tmp_path / f"{i}.bin").write_bytes(os.urandom(n))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.bin").write_bytes(b"below")
    return tmp_path


def test_it_is_registered(fs, folder):
    assert isinstance(fs, LsioFileSystem) and fsspec.available_protocols().count("lsio") == 1
    with fsspec.open(f"lsio://{folder}/3.bin") as f:
        assert f.read() == (folder / "3.bin").read_bytes()


def test_what_is_there(fs, local, folder):
    for pattern in ("*", "*.bin", "**", "b*/x*"):
        assert fs.glob(f"{folder}/{pattern}") == local.glob(f"{folder}/{pattern}")
    assert sorted(fs.ls(str(folder), detail=False)) == sorted(local.ls(str(folder), detail=False))
    assert fs.find(str(folder)) == local.find(str(folder))
    name = f"lsio://{folder}/3.bin"
    assert fs.size(name) == 100_001 and fs.isfile(name) and fs.exists(name) and fs.isdir(folder / "below")
    assert fs.modified(name) == local.modified(f"{folder}/3.bin")
    assert not fs.exists(f"{folder}/none")


ends = st.one_of(st.none(), st.integers(-5000, 5000), st.integers(99_000, 101_000))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), ends, ends), max_size=30), st.sampled_from([None, 0, 4096]))
def test_ranges(fs, folder, asked, gap):
    paths = [f"{folder}/{i}.bin" for i, _, _ in asked]
    got = fs.cat_ranges(paths, [a for _, a, _ in asked], [b for _, _, b in asked], max_gap=gap)
    assert got == [(folder / f"{i}.bin").read_bytes()[a:b] for i, a, b in asked]
    for i, a, b in asked[:3]:
        assert fs.cat_file(f"{folder}/{i}.bin", a, b) == (folder / f"{i}.bin").read_bytes()[a:b]


@pytest.mark.parametrize("n", [1, 300])
def test_ranges_that_can_not_be_had(fs, local, folder, n):
    shut = [folder / f"shut-{i}" for i in range(n)]
    for path in shut:
        path.write_bytes(b"12345678")
        path.chmod(0)
    paths = [f"{folder}/none", f"{folder}/3.bin", *map(str, shut)]
    got = fs.cat_ranges(paths, 2, 4)
    assert isinstance(got[0], FileNotFoundError) and got[1] == (folder / "3.bin").read_bytes()[2:4]
    if os.geteuid():
        assert all(isinstance(e, PermissionError) for e in got[2:]) and len(got) == n + 2
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 2, 4, on_error="raise")
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{folder}/none")
    with pytest.raises(ValueError, match="2 starts"):
        fs.cat_ranges(paths[:1], [0, 0], [1])
    for system in (fs, local):
        with pytest.raises(TypeError):
            system.cat_ranges(paths[0], [0], [1])


def test_more_failures_than_a_result_names(fs, folder, monkeypatch):
    """All of these are gone once the job reads them."""
    gone = [f"{folder}/gone-{i}" for i in range(150)]
    there = fs._found(f"{folder}/2.bin")
    found = LsioFileSystem._found
    monkeypatch.setattr(LsioFileSystem, "_found", lambda s, n: there if n in gone else found(s, n))
    monkeypatch.setattr("lsio.fsspec._replaced", lambda files: set())
    got = fs.cat_ranges([*gone, f"{folder}/2.bin"], 0, 1)
    assert all(isinstance(e, FileNotFoundError) for e in got[:150])
    assert got[150] == (folder / "2.bin").read_bytes()[:1]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{folder}/2.bin", *gone], 0, 1, on_error="raise")


def test_folders(fs, local, folder):
    for system in (fs, local):
        for ask in (
            system.cat_file,
            system.open,
            lambda p, s=system: s.cat_ranges([p], 0, 1, on_error="raise"),
        ):
            with pytest.raises(IsADirectoryError):
                ask(str(folder))
        assert isinstance(system.cat_ranges([str(folder)], [0], [0])[0], IsADirectoryError)
        with pytest.raises(KeyError):
            system.get_mapper(str(folder))["below"]


def test_files_that_only_say_that_they_are_empty(fs):
    """What the kernel makes as it is read has no size: an error, not nothing."""
    name = "/proc/self/status"
    for ask in (fs.cat_file, fs.open, lambda p: fs.cat_ranges([p], 0, None, on_error="raise")):
        with pytest.raises(OSError, match="no size"):
            ask(name)
    assert isinstance(fs.cat_ranges([name], 0, None)[0], OSError)


def replacing(monkeypatch, path, sizes):
    """Another content takes the file's place each time that its size has been asked for."""
    real, left = os.stat, iter(sizes)

    def stat(name, *args, **kwargs):
        found = real(name, *args, **kwargs)
        size = next(left, None) if os.fspath(name) == str(path) else None
        if size is not None:
            path.with_suffix(".new").write_bytes(bytes([size]) * size)
            os.replace(path.with_suffix(".new"), path)
        return found

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("size", [5, 10, 20, 0])
def test_a_file_that_is_replaced(fs, folder, monkeypatch, size):
    path = folder / "replaced"
    other = (folder / "2.bin").read_bytes()
    paths = [f"{folder}/2.bin", str(path)]
    asks = (
        (lambda: [other, fs.cat_file(str(path))], slice(None)),
        (lambda: fs.cat_ranges(paths, 0, None), slice(None)),
        (lambda: fs.cat_ranges(paths, 0, None, on_error="raise"), slice(None)),
        (lambda: fs.cat_ranges(paths, -3, None), slice(-3, None)),
    )
    for ask, part in asks:
        path.write_bytes(b"x" * 10)
        with monkeypatch.context() as m:
            replacing(m, path, [size])
            assert ask() == [other[part], (bytes([size]) * size)[part]]


def test_a_file_that_never_stands_still(fs, folder, monkeypatch):
    path = folder / "replaced"
    path.write_bytes(b"x" * 10)
    replacing(monkeypatch, path, itertools.cycle((11, 12)))
    with pytest.raises(OSError, match="changes while"):
        fs.cat_file(str(path))


def test_whole_files(fs, local, folder):
    assert fs.cat(f"{folder}/*.bin") == local.cat(f"{folder}/*.bin")
    assert fs.cat(f"lsio://{folder}/2.bin") == (folder / "2.bin").read_bytes()
    assert fs.cat(str(folder), recursive=True) == local.cat(local.find(str(folder)))
    assert fs.cat([f"{folder}/0.bin", f"{folder}/none"], on_error="omit") == {f"{folder}/0.bin": b""}
    assert fs.head(f"{folder}/3.bin", 10) == local.head(f"{folder}/3.bin", 10)
    assert fs.tail(f"{folder}/3.bin", 10) == local.tail(f"{folder}/3.bin", 10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 101_000), st.integers(-1, 20_000)), max_size=12))
def test_a_file_that_is_open(fs, folder, moves):
    with fs.open(f"{folder}/3.bin", block_size=4096) as ours, open(folder / "3.bin", "rb") as theirs:
        for at, n in moves:
            ours.seek(at)
            theirs.seek(at)
            assert ours.read(n) == theirs.read(n) and (at > 100_001 or ours.tell() == theirs.tell())


def test_it_only_reads(fs, folder):
    a, b = f"{folder}/3.bin", f"{folder}/new"
    for ask in (
        lambda: fs.open(b, "wb"),
        lambda: fs.mkdir(b),
        lambda: fs.rm(a),
        lambda: fs.pipe(b, b"x"),
        lambda: fs.mv(a, b),
        lambda: fs.put(a, b),
        lambda: fs.copy(a, b),
        lambda: fs.open(a, "r+b"),
        lambda: fs.open(a, "ab"),
        lambda: fs.open(b, "xb"),
        lambda: fs.write_text(b, "x"),
        lambda: fs.rmdir(folder / "below"),
        lambda: fs.touch(b),
    ):
        with pytest.raises(OSError, match="write with"):
            ask()
    assert not (folder / "new").exists() and (folder / "3.bin").exists()


def test_a_context_of_its_own(folder):
    context = lsio.Context(workers=1)
    fs = fsspec.filesystem("lsio", context=context, skip_instance_cache=True)
    assert len(fs.cat_file(f"{folder}/2.bin")) == 4096 and context.stats()["bytes_read"] >= 4096
    alike = [lsio.Context(workers=1, log=lambda *_: None) for _ in range(2)]
    assert [fsspec.filesystem("lsio", context=c).context for c in alike] == alike


# ---- fsspec's own tests. Those of writing (put, pipe, copy, mv) are left out: it does not.


class Writing(LsioFileSystem):
    """Reads by LSIO; what the tests must write first, fsspec's local file system does."""

    def __init__(self):
        super().__init__(skip_instance_cache=True)
        self._local = LocalFileSystem(auto_mkdir=True)

    def mkdir(self, path, *args, **kwargs):
        self._local.mkdir(self._strip_protocol(path), *args, **kwargs)

    def makedirs(self, path, exist_ok=False):
        self._local.makedirs(self._strip_protocol(path), exist_ok=exist_ok)

    def touch(self, path, **kwargs):
        self._local.touch(self._strip_protocol(path), **kwargs)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self._local.pipe_file(self._strip_protocol(path), value, mode, **kwargs)

    def rm(self, path, recursive=False, maxdepth=None):
        self._local.rm(self._strip_protocol(path), recursive, maxdepth)

    def _open(self, path, mode="rb", **kwargs):
        if mode == "rb":
            return super()._open(path, mode, **kwargs)
        return self._local._open(self._strip_protocol(path), mode, **kwargs)


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self):
        return Writing()

    @pytest.fixture
    def fs_path(self, tmp_path):
        path = tmp_path / "remote"
        path.mkdir()
        yield str(path)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    @pytest.fixture
    def fs_join(self):
        return os.path.join


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass
