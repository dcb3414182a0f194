"""What README.md and docs/ show runs as it stands."""

import contextlib
import io
import pathlib
import re

import numpy as np
import pytest

PACKAGE = pathlib.Path(__file__).parent.parent
BLOCKS = [
    pytest.param(text, id=f"{path.name}-{i}")
    for path in (PACKAGE / "README.md", *sorted((PACKAGE / "docs").glob("*.md")))
    for i, text in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S), 1)
]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    all_values = []
    for name in ("data", "train"):
        (tmp_path / name).mkdir()
        for i in range(3):
            values = np.random.default_rng(i).random(65536 * (i + 1), "f4")
            values.tofile(tmp_path / name / f"{i}.f32")
            all_values.append(values)
    return np.concatenate(all_values[:3])


def test_there_are_some():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("text", BLOCKS)
def test_it_runs(data, text):
    for module in ("torch", "numba"):
        if re.search(rf"\b{module}\b", text):
            pytest.importorskip(module)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(text, "docs", "exec"), {"__name__": "docs"})
    if text.startswith("import lsio\n"):
        assert float(said.getvalue()) == pytest.approx(data.mean(dtype="f8"))
    elif "print" in text:
        assert f"{float(data.min())!r}" in said.getvalue()
