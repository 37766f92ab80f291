"""Compute the coefficients of the short form of Φ in `bert_numpy/nn/special.py`.   Needs NumPy; run time half a minute.

    python tests/golden/make_logit_coefficients.py

The logit  ln(Φ(x) / Φ(-x))  of the standard normal distribution is odd; L of `TERMS` terms in x² approximates it as
x L(x²).  The error that counts is that of Φ and of x Φ(x), whichever is larger: an error d of the logit becomes
Φ(x) Φ(-x) d there.  Least squares with these weights, and nodes with a large error weighed up in each round (Lawson),
make the largest error as small as it can be.
"""

import math

import numpy as np

TERMS, LIMIT, NODES, ROUNDS = 7, 6.0, 4000, 3000


def fit():
    """Return (largest error, coefficients of L, lowest power first)."""
    x = LIMIT * np.sin(np.linspace(0, math.pi / 2, NODES + 1)[1:])  # closer together towards the limit
    tail = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in x])
    logit = np.log((1 - tail) / tail)
    weight = tail * (1 - tail) * np.maximum(x, 1)
    powers = x[:, None] ** (2 * np.arange(TERMS) + 1)
    scale = np.abs(powers * weight[:, None]).max(axis=0)
    emphasis, best = np.ones(NODES), (math.inf, None)
    for _ in range(ROUNDS):
        row = weight * np.sqrt(emphasis)
        coefficients = np.linalg.lstsq(powers * row[:, None] / scale, logit * row, rcond=None)[0] / scale
        error = np.abs(weight * (powers @ coefficients - logit))
        if error.max() < best[0]:
            best = error.max(), coefficients
        emphasis *= error / error.mean()
        emphasis = emphasis / emphasis.mean() + 1e-12
    return best


if __name__ == "__main__":
    worst, coefficients = fit()
    print(f"largest error of Φ(x) and x Φ(x): {worst:.2e}")
    print("  L =", ", ".join(f"{c:.11g}" for c in coefficients))
