"""Data that tests read."""

import numpy as np
import pytest


@pytest.fixture
def floats(tmp_path):
    """A file of float32, and what it holds."""
    values = np.random.default_rng(1).random(100_000, "f4")
    path = tmp_path / "a.f32"
    values.tofile(path)
    return path, values


@pytest.fixture
def raw(tmp_path):
    """A file of bytes, and what it holds."""
    values = np.random.default_rng(2).integers(0, 256, 300_001, np.uint8)
    path = tmp_path / "a.bin"
    values.tofile(path)
    return path, values
