"""The error function against the C library's, number by number."""

import math

import numpy as np
import pytest

from bert_numpy.nn import special

POINTS = np.concatenate(
    [np.linspace(-7, 7, 20001), np.logspace(-300, 1.4, 2000), -np.logspace(-20, 1.4, 2000), [0.0, -0.0, 0.5, -0.5]]
)


@pytest.mark.parametrize(
    ("function", "oracle"),
    [
        (special.erf, math.erf),
        (special.erfc, math.erfc),
        (special.normal_cdf, lambda x: math.erfc(-x * math.sqrt(0.5)) / 2),
    ],
)
def test_is_exact_to_the_precision_of_the_dtype(function, oracle):
    for dtype in (np.float64, np.float32):
        x = POINTS.astype(dtype)
        expected = np.array([oracle(float(v)) for v in x])
        actual = function(x)
        assert actual.dtype == dtype
        assert np.abs(actual - expected).max() <= 2.5 * np.finfo(dtype).eps  # erfc goes up to 2


def test_erf_keeps_the_digits_of_small_arguments():
    x = np.logspace(-300, -0.3, 3000)
    expected = np.array([math.erf(v) for v in x])
    assert (np.abs(special.erf(x) - expected) / expected).max() < 5e-16


def test_erfc_keeps_the_digits_of_its_tail():
    x = np.linspace(0, 26, 3000)
    expected = np.array([math.erfc(v) for v in x])
    # exp(-x²) alone loses x² ulp, 676 of them at the end
    assert (np.abs(special.erfc(x) - expected) / expected).max() < 1e-13


def test_limits():
    x = np.array([np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(special.erf(x), [1, -1, np.nan])
    np.testing.assert_array_equal(special.erfc(x), [0, 2, np.nan])
    np.testing.assert_array_equal(special.normal_cdf(x), [1, 0, np.nan])


def test_integers_become_float64():
    assert special.erf(np.array([1])).dtype == np.float64
