"""The ground the formats stand on: messages, strict JSON, bfloat16."""

import json
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, bfloat16, errors, strict_json


def test_a_message_is_one_line():
    assert str(CheckpointError("a\nb\r\nc\u2028d\x0be")) == "a b c d e"
    assert str(CheckpointNotFoundError("a\nb")) == "a b"


def test_a_missing_file_is_caught_by_either_name():
    for expected in (CheckpointError, FileNotFoundError, ValueError, OSError):
        with pytest.raises(expected):
            raise CheckpointNotFoundError("x")


def test_errors_survive_other_processes():
    for error in (CheckpointError("a b"), CheckpointNotFoundError("a b")):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == "a b"


def test_quoted_is_bounded_whatever_it_is_given():
    for value in ("x" * 10**6, ["y"] * 10**5, b"\0" * 10**5):
        assert len(errors.quoted(value)) <= 120
    assert errors.quoted("a\nb") == "'a\\nb'"


def test_quoted_looks_only_at_the_beginning_of_a_list():
    class Counting:
        seen = 0

        def __repr__(self):
            Counting.seen += 1
            return "c"

    assert errors.quoted([Counting()] * 10_000) == "[c, c, c, c, c, c, c, c, ...]"
    assert Counting.seen == 8


@pytest.mark.parametrize(
    "text", ['{"a": [1, -2.5e3, "é", null, true]}', "[]", '"\\ud83d\\ude42"', " 18446744073709551615\n"]
)
def test_sound_json(text):
    assert strict_json.parse(text.encode(), "x") == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "fragment"),
    [
        (b'"\\ud83d"', "surrogates not allowed"),
        (b'{"\\uDE42": 1}', "surrogates not allowed"),
        (b"123456789012345678901", "21 digits"),
        (b"NaN", "NaN is not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' appears twice"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        (b'{"a": 1,}', "not valid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_unsound_json(raw, fragment):
    with pytest.raises(CheckpointError, match=f"^the index.*{fragment}"):
        strict_json.parse(raw, "the index")


def nearest_even(x):
    """The rounding from its definition: of the two neighbours the nearer, of two equally near the even."""
    x = float(x)  # a double: the distances below are exact
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    toward_zero = bits >> 16
    away = toward_zero + 1
    (near,), (far,) = (struct.unpack("<f", struct.pack("<I", half << 16)) for half in (toward_zero, away))
    if abs(x - near) != abs(far - x):
        return toward_zero if abs(x - near) < abs(far - x) else away
    return toward_zero if toward_zero % 2 == 0 else away


def test_bfloat16_against_the_definition():
    rng = np.random.default_rng(3)
    x = (rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)).astype(np.float32)
    ties = ((rng.integers(0, 0x7F00, 100).astype(np.uint32) << 16) | 0x8000).view(np.float32)
    for values in (x, ties, -ties):
        expected = [nearest_even(value) for value in values]
        np.testing.assert_array_equal(bfloat16.narrow(values), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bfloat16_special_values(dtype):
    x = np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, 1.0]], dtype)
    before = x.tobytes()
    bits = bfloat16.narrow(x)
    assert bits.dtype == np.uint16
    assert bits.shape == x.shape
    np.testing.assert_array_equal(bits.ravel()[[0, 1, 2, 3, 5]], [0, 0x8000, 0x7F80, 0xFF80, 0x3F80])
    assert np.isnan(bfloat16.widen(bits)[1, 1])
    assert x.tobytes() == before


def test_every_nan_stays_one():
    """NaN patterns whose low bits alone are set would become infinite if they were rounded or cut."""
    patterns = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F80FFFF], np.uint32)
    assert np.isnan(bfloat16.widen(bfloat16.narrow(patterns.view(np.float32)))).all()


def test_import_needs_only_numpy_and_the_standard_library():
    program = (
        "import sys, numpy; before = set(sys.modules); import bert_numpy.checkpoints; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "bert_numpy" in loaded
    assert loaded - {"bert_numpy", "numpy"} <= set(sys.stdlib_module_names)
