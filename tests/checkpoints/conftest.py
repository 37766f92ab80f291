"""Files written by hand, byte by byte, so that the reader is not tested against its own writer alone."""

import json
import struct

import numpy as np
import pytest


def craft(header, data=b"", length=None):
    """The bytes of a safetensors file from a header (an object, or raw bytes) and the data section."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


@pytest.fixture(name="craft", scope="session")
def craft_fixture():
    return craft


@pytest.fixture
def sample():
    """Odd shapes and several dtypes, with values that no zeroed or shifted copy can equal by accident."""
    rng = np.random.default_rng(7)
    return {
        "encoder.weight": rng.normal(size=(5, 3)).astype(np.float32),
        "encoder.bias": rng.normal(size=7).astype(np.float16),
        "ids": rng.integers(-9, 9, size=(2, 1, 3)),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False, True]),
    }


@pytest.fixture
def same():
    """Compare two dicts of arrays bit for bit, dtype and shape included."""

    def check(actual, expected):
        assert actual.keys() == expected.keys()
        for name, array in expected.items():
            assert actual[name].dtype == array.dtype, name
            assert actual[name].shape == array.shape, name
            assert actual[name].tobytes() == array.tobytes(), name

    return check
