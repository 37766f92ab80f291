"""Compute the coefficients of `bert_numpy/nn/special.py`.   Needs mpmath; run time half a minute.

    python tests/golden/make_erfc_coefficients.py

P and Q minimise the largest relative error of  P(z)/Q(z) ≈ erfcx(z) = exp(z²) erfc(z)  over [0, limit].  Each round
solves the linear least-squares problem  P - erfcx·Q ≈ 0  with rows divided by the Q of the round before, so that it
measures the quotient (Sanathanan and Koerner), and weighs up the nodes where the error is large (Lawson).
"""

from mpmath import cos, erfc, exp, lu_solve, matrix, mp, mpf, nstr, pi, polyval, sqrt

ROUNDS = 40


def nodes_between_zero_and(limit, count):
    """Chebyshev nodes in s = z / (z + 2), which spreads them evenly over the bend near 0 and the long tail."""
    s_limit = mpf(limit) / (limit + 2)
    s = [s_limit * (1 - cos(pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]
    return [2 * si / (1 - si) for si in s]


def least_squares(rows, right_side):
    """Solve min |rows·x - right_side| by the normal equations, with columns scaled to length 1."""
    columns = len(rows[0])
    lengths = [sqrt(sum(row[k] ** 2 for row in rows)) for k in range(columns)]
    a = matrix([[row[k] / lengths[k] for k in range(columns)] for row in rows])
    x = lu_solve(a.T * a, a.T * matrix(right_side))
    return [x[k] / lengths[k] for k in range(columns)]


def fit(degree, limit, count):
    """Return (largest relative error, P, Q), coefficients lowest power first, Q of `degree` and P one below."""
    z = nodes_between_zero_and(limit, count)
    f = [exp(zi * zi) * erfc(zi) for zi in z]
    q_before, weights, best = [mpf(1)] * count, [mpf(1)] * count, None
    for _ in range(ROUNDS):
        scale = [sqrt(w) / (fi * qi) for w, fi, qi in zip(weights, f, q_before, strict=True)]
        rows = [
            [s * zi**k for k in range(degree)] + [-s * fi * zi**k for k in range(1, degree + 1)]
            for s, zi, fi in zip(scale, z, f, strict=True)
        ]
        x = least_squares(rows, [s * fi for s, fi in zip(scale, f, strict=True)])
        p, q = x[:degree], [mpf(1), *x[degree:]]
        q_before = [polyval(q[::-1], zi) for zi in z]
        errors = [abs(polyval(p[::-1], zi) / qi / fi - 1) for zi, qi, fi in zip(z, q_before, f, strict=True)]
        worst = max(errors)
        if best is None or worst < best[0]:
            best = worst, p, q
        weights = [w * (e / worst + mpf("0.02")) for w, e in zip(weights, errors, strict=True)]
        weights = [w * count / sum(weights) for w in weights]
    return best


if __name__ == "__main__":
    mp.dps = 80
    for name, degree, limit, count in [("float32", 5, 10, 90), ("float64", 10, 27, 140)]:
        worst, p, q = fit(degree, limit, count)
        print(f"{name}: largest relative error {nstr(worst, 3)}")
        print("  P =", ", ".join(nstr(c, 20) for c in p))
        print("  Q =", ", ".join(nstr(c, 20) for c in q))
