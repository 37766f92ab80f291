"""bfloat16 to float32 and back, with integer arithmetic: NumPy has no such dtype.

A bfloat16 is the upper half of a float32: one sign bit, the same 8 exponent bits, 7 of the 23 mantissa bits.
Widening is therefore exact, and narrowing is one rounding. What is not here: files. Read next:
``safetensors.py``.
"""

import numpy as np
from numpy.typing import NDArray


def widen(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 values of bfloat16 bit patterns, exactly.

    Parameters
    ----------
    bits : ndarray of uint16, any shape

    Returns
    -------
    ndarray of float32, same shape
        A new array. NaN payloads survive.

    Examples
    --------
    >>> widen(np.array([0x3F80, 0xC000, 0x7F80], np.uint16))
    array([ 1., -2., inf], dtype=float32)
    """
    wide = np.asarray(bits).astype(np.uint32, order="C")
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def narrow(x: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return the bfloat16 bit patterns nearest to ``x``; a tie goes to the even mantissa.

    Parameters
    ----------
    x : ndarray of float16, float32 or float64, any shape
        float64 is rounded to float32 first, as PyTorch does it: two roundings.

    Returns
    -------
    ndarray of uint16, same shape
        Values beyond the largest bfloat16 become infinite; NaN stays NaN, made quiet.

    Examples
    --------
    >>> widen(narrow(np.array([1.0, 3.14159274, 1e-40], np.float32)))
    array([1.000000e+00, 3.140625e+00, 9.183550e-41], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):  # 1e300 becomes infinite, as asked for
        single = np.asarray(x).astype(np.float32, order="C")
    bits = single.view(np.uint32)
    # Adding just under half of the last kept bit, plus that bit itself, carries exactly when rounding to
    # nearest-even must go up. The sum wraps around only for NaN patterns, which are replaced below.
    rounded = (bits + (((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x0040)
    return np.where(np.isnan(single), quiet_nan, rounded).astype(np.uint16)
