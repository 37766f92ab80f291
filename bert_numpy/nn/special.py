"""The error function, which NumPy lacks and BERT's GELU needs.

Here: `erf`, `erfc` and the standard normal `normal_cdf`, for arrays, exact to the precision of their dtype (the tail
of Φ in float32 absolutely, not relatively).
Not here: GELU itself, which stands with the other operations.  Read next: `functional.py`.

The function fitted is  erfcx(z) = exp(z²) erfc(z)  for z ≥ 0.  It falls smoothly from 1 like 1 / (z √π), so one
quotient of two polynomials with positive coefficients (no cancellation) holds over the whole half line:

    erfc(z) = exp(-z²) P(z) / Q(z)        relative error of P/Q: 4.9e-17 (float64), 5.6e-9 (float32)

One fit serves each dtype: the short one costs half the time, and float32 could not hold the digits of the long one.

GELU of float32 is the most costly of all operations that are not products, so `normal_cdf` has a shorter way for it:
the logit of Φ is an odd function that seven terms fit,

    Φ(x) = 1 / (1 + exp(-x L(x²)))        absolute error of Φ and of x Φ(x): 6.8e-8, half a unit in the last place of 1

`tests/golden/make_erfc_coefficients.py` and `make_logit_coefficients.py` compute the coefficients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Lowest power first.  The last number of each row is where exp(-z²) has reached zero in that dtype.
_P64 = (
    0.99999999999999995078, 2.1901920603581089197, 2.3731489606605436275, 1.633646832974317376,
    0.77964958298032004924, 0.26641710311957501485, 0.065176762862351970559, 0.011045310421653695579,
    0.0011855125299341352401, 0.000062292955262459662663,
)  # fmt: skip
_Q64 = (
    1.0, 3.3185712274536077965, 5.1177555982423980286, 4.8420971829165948378, 3.1220199961486948911,
    1.4386036062595119747, 0.48194546971307850346, 0.11657343731675050892, 0.0196325086888982684,
    0.0021012662489269132471, 0.00011041138843958790485,
)  # fmt: skip
_P32 = (
    1.0000000056150148234, 1.2375592889062840778, 0.73071219523696475941, 0.22879342750519802494,
    0.032707124101860924997,
)  # fmt: skip
_Q32 = (
    1.0, 2.3659390227597562861, 2.4003793227989341021, 1.3237034513030095051, 0.40555261675686044112,
    0.057971154400971060305,
)  # fmt: skip
_LOGIT32 = (
    1.595768985328, 0.072667822686, -6.5909527584e-05, -1.1055588027e-04, 7.9462259331e-06, -2.6729370501e-07,
    3.6187258503e-09,
)  # fmt: skip
_FITS = {np.dtype(np.float64): (_P64, _Q64, 28.0), np.dtype(np.float32): (_P32, _Q32, 10.5)}

# erf(x) = 2/√π Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n+1)); below |x| = 0.5 thirteen terms reach 1e-17.
_MACLAURIN = tuple(2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(13))


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Σ cₙ xⁿ by Horner's rule; the running value is the only array it creates."""
    total = x * coefficients[-1]
    total += coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total *= x
        total += coefficient
    return total


def _as_float(x: Any) -> np.ndarray:
    """`x` as an array of float32 or float64; any other dtype, integers included, becomes float64."""
    x = np.asarray(x)
    return x if x.dtype in _FITS else x.astype(np.float64)


def erfc(x: np.ndarray) -> np.ndarray:
    """Complementary error function, 1 - erf(x), elementwise and without the cancellation of the subtraction.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    ndarray of the shape and dtype of `x` (float64 for integers)

    Examples
    --------
    >>> erfc(np.array([0.0, 1.0, 5.0]))
    array([1.00000000e+00, 1.57299207e-01, 1.53745979e-12])
    """
    x = _as_float(x)
    numerator, denominator, limit = _FITS[x.dtype]
    z = np.minimum(np.abs(x), limit)
    tail = np.exp(-z * z) * _polynomial(numerator, z) / _polynomial(denominator, z)
    return np.where(x < 0, 2 - tail, tail)


def erf(x: np.ndarray) -> np.ndarray:
    """Error function, 2/√π ∫₀ˣ exp(-t²) dt, elementwise.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    ndarray of the shape and dtype of `x` (float64 for integers)

    Examples
    --------
    >>> erf(np.array([-1.0, 0.0, 0.5]))
    array([-0.84270079,  0.        ,  0.52049988])
    """
    x = _as_float(x)
    # 1 - erfc(x) would lose the digits of a small x, so the series takes over there.
    near = np.clip(x, -0.5, 0.5)
    series = near * _polynomial(_MACLAURIN, near * near)
    return np.where(np.abs(x) < 0.5, series, np.copysign(1 - erfc(np.abs(x)), x))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Φ(x) = ½ erfc(-x/√2): the chance that a standard normal variable is below x.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    ndarray of the shape and dtype of `x` (float64 for integers)

    Examples
    --------
    >>> normal_cdf(np.array([-1.0, 0.0, 1.0]))
    array([0.15865525, 0.5       , 0.84134475])
    """
    x = _as_float(x)
    if x.dtype == np.float64:
        y = erfc(x * -math.sqrt(0.5))
        y *= 0.5
        return y
    with np.errstate(over="ignore"):  # an infinite exponential is what makes Φ exactly 0
        y = _polynomial(_LOGIT32, x * x)
        y *= x
        np.exp(np.negative(y, out=y), out=y)
        y += 1
        return np.reciprocal(y, out=y)
