# %% [markdown]
# # 4. LayerNorm, derived
#
# After every block of BERT, each token's vector is brought back to a standard mean and a standard length. The forward
# is three lines. The backward is three lines too, and for many people the first gradient that they copy instead of
# deriving it. Here it is derived, and then looked at.
#
# **What you will do.** Write LayerNorm, forward and backward. Draw what it does to vectors. Catch six plausible
# mistakes by measurement.
#
# **What you will learn.** Why mean and variance are taken of *one token*, not of the batch. Where ε stands. Why the
# gradient has three terms, and why it is a projection. Why a fresh model hides mistakes.
#
# **What you need.** Tutorial 3. About 30 minutes.

# %%
import numpy as np

from bert_numpy.nn import functional as F
from bert_numpy.verification.gradcheck import numeric_gradient, relative_error
from bert_numpy.visualization import new_figure

rng = np.random.default_rng(0)


def agree(name, actual, expected, limit):
    """Assert that two arrays differ by less than a share of the largest value, and say so."""
    error = relative_error(actual, expected)
    assert error < limit, f"{name}: {error}"
    print(f"{name}: the difference is below {limit:g}")


# %% [markdown]
# ## 1. Forward
#
# A token's vector $x$ has $H$ numbers. Take their mean $\mu$ and their variance $\sigma^2$, shift and scale them to
# mean 0 and variance 1, and then give each of the $H$ places a gain $\gamma$ and a shift $\beta$ of its own, which are
# learned:
#
# $$
# \mu = \frac{1}{H} \sum_i x_i, \qquad
# \sigma^2 = \frac{1}{H} \sum_i (x_i - \mu)^2, \qquad
# \hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad
# y_i = \gamma_i \hat{x}_i + \beta_i
# $$
#
# ε keeps the division defined when all $x_i$ are equal. BERT has $\varepsilon = 10^{-12}$, *inside* the root. The
# variance divides by $H$, not by $H - 1$.


# %%
def layer_norm_forward(x, gain, shift, eps=1e-12):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(variance + eps)  # the reciprocal of the standard deviation
    x_hat = (x - mean) * rstd
    return gain * x_hat + shift, (x_hat, rstd, gain)


B, S, H = 2, 3, 6
x = 3 + 2 * rng.standard_normal((B, S, H))
gain, shift = rng.standard_normal(H), rng.standard_normal(H)
y, (x_hat, rstd, _) = layer_norm_forward(x, gain, shift)

print("means of x_hat are 0:    ", bool(np.abs(x_hat.mean(axis=-1)).max() < 1e-12))
print("variances of x_hat are 1:", bool(np.abs(x_hat.var(axis=-1) - 1).max() < 1e-11))
agree("the package's y", F.layer_norm_forward(x, gain, shift)[0], y, 1e-12)
assert np.abs(x_hat.mean(axis=-1)).max() < 1e-12
assert np.abs(x_hat.var(axis=-1) - 1).max() < 1e-11

# %% [markdown]
# All means run over the last axis: over the numbers of one token. Nothing depends on the other tokens or on the batch.
# So a token's result does not change when sequences are padded or batches put together differently, and training and
# use compute the same thing. (Batch normalization, which takes its means over the batch, has neither property.)

# %%
alone, _ = layer_norm_forward(x[1:, 2:], gain, shift)
assert np.array_equal(alone[0, 0], y[1, 2])
print("a token alone gives the same numbers as in its batch")

# %% [markdown]
# ## 2. What it forgets
#
# Replace $x$ by $a x + c$ with $a > 0$: the mean becomes $a\mu + c$, the deviation $a\sigma$, and both cancel. So
# LayerNorm forgets the *level* and the *size* of a vector and keeps its direction (as long as ε is small beside the
# variance):

# %%
larger, _ = layer_norm_forward(5 * x + 7, gain, shift)
agree("LayerNorm(5 x + 7) against LayerNorm(x)", larger, y, 1e-10)
flipped, _ = layer_norm_forward(-x, gain, np.zeros(H))
agree("LayerNorm(-x) against -LayerNorm(x), without shift", flipped, -(y - shift), 1e-10)

# %% [markdown]
# In geometry: subtracting the mean is dropping the part of $x$ along $(1, 1, \dots, 1)$. Dividing by σ gives what is
# left the length $\sqrt{H}$, since $\sum_i \hat{x}_i^2 = H$. So every $\hat{x}$ lies on a sphere of radius $\sqrt{H}$
# in the plane at right angles to $(1, \dots, 1)$. For $H = 3$ the plane is flat paper, and the sphere a circle. We can
# draw it:

# %%
points = rng.standard_normal((14, 3)) * np.array([2.5, 1.0, 1.0]) + 1
on_circle, (normalized, _, _) = layer_norm_forward(points, np.ones(3), np.zeros(3))
across = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions of the plane
before, after = points @ across.T, normalized @ across.T
assert np.allclose(np.linalg.norm(after, axis=1), np.sqrt(3))

figure = new_figure(4.6)
axes = figure.add_subplot()
angle = np.linspace(0, 2 * np.pi, 200)
axes.plot(np.sqrt(3) * np.cos(angle), np.sqrt(3) * np.sin(angle), color="#57606a", linewidth=1)
axes.plot(*before.T, "o", color="#0072B2", label="x, seen along (1, 1, 1)")
axes.plot(*after.T, "s", color="#D55E00", label="x_hat")
for start, end in zip(before, after, strict=True):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#8c959f", "linewidth": 0.8})
axes.set(aspect="equal", title="LayerNorm for H = 3: every vector to the circle of radius √3")
axes.set(xlabel="(x₁ - x₂) / √2", ylabel="(x₁ + x₂ - 2 x₃) / √6")
axes.grid(color="#d0d7de", linewidth=0.6)
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
figure

# %% [markdown]
# Each vector moves straight towards or away from the middle. Keep the picture in mind: it already tells what the
# gradient must look like.
#
# ## 3. Two ways to compute a variance
#
# The formula $\sigma^2 = E[x^2] - E[x]^2$ needs one pass over the numbers instead of two, and is the same on paper. In
# float32 it subtracts two large numbers that are nearly equal. Take numbers near 1000 with a deviation of 0.01:

# %%
far = (1000 + 0.01 * rng.standard_normal((100, 1000))).astype(np.float32)  # 100 rows
exact = far.astype(np.float64).var(axis=1)
two_passes = np.square(far - far.mean(axis=1, keepdims=True)).mean(axis=1)
one_pass = np.square(far).mean(axis=1) - far.mean(axis=1) ** 2
error_of_two, error_of_one = np.abs(two_passes / exact - 1), np.abs(one_pass / exact - 1)
print("two passes: wrong by less than 1 % in all rows:", bool((error_of_two < 0.01).all()))
print("one pass: wrong by more than 50 % in all rows:", bool((error_of_one > 0.5).all()))
print("one pass: negative in some rows:", bool((one_pass < 0).any()))
assert (error_of_two < 0.01).all()
assert (error_of_one > 0.5).all()
assert (one_pass < 0).any()

# %% [markdown]
# A variance of 0.0001 is below the last digit of a float32 near a million. Where it comes out negative, the root is
# NaN. Hence two passes, in the package too.
#
# ## 4. Backward, derived
#
# We are given `dy` and want `dgain`, `dshift` and `dx`. The first two are quick. From
# $y_i = \gamma_i \hat{x}_i + \beta_i$, and since every token uses the same γ and β:
#
# $$
# \mathrm{d}\gamma_i = \sum_{\text{tokens}} \mathrm{d}y_i \hat{x}_i, \qquad
# \mathrm{d}\beta_i = \sum_{\text{tokens}} \mathrm{d}y_i, \qquad
# \mathrm{d}\hat{x}_i = \mathrm{d}y_i \gamma_i
# $$
#
# For `dx` take a single token and write $r = 1 / \sqrt{\sigma^2 + \varepsilon}$, so that $\hat{x}_i = (x_i - \mu)\, r$.
# The entry $x_j$ acts on $\hat{x}_i$ in three ways: directly if $i = j$, through the mean, and through $r$. We need the
# derivatives of the pieces.
#
# **The mean.** Each $x_j$ has the weight $1/H$ in it:
#
# $$
# \frac{\partial \mu}{\partial x_j} = \frac{1}{H}
# $$
#
# **The variance.** Both $x_i$ and $\mu$ depend on $x_j$ (with $\delta_{ij} = 1$ if $i = j$, else 0):
#
# $$
# \frac{\partial \sigma^2}{\partial x_j}
# = \frac{1}{H} \sum_i 2 (x_i - \mu) \left( \delta_{ij} - \frac{1}{H} \right)
# = \frac{2}{H} (x_j - \mu) - \frac{2}{H^2} \underbrace{\sum_i (x_i - \mu)}_{0}
# = \frac{2}{H} (x_j - \mu)
# $$
#
# The variance's dependence on the mean has dropped out, because deviations from the mean add up to 0.
#
# **The reciprocal deviation.** With $r = (\sigma^2 + \varepsilon)^{-1/2}$ and $x_j - \mu = \hat{x}_j / r$:
#
# $$
# \frac{\partial r}{\partial x_j}
# = -\frac{1}{2} (\sigma^2 + \varepsilon)^{-3/2} \cdot \frac{2}{H} (x_j - \mu)
# = -\frac{r^3}{H} \cdot \frac{\hat{x}_j}{r}
# = -\frac{r^2 \hat{x}_j}{H}
# $$
#
# **Together**, by the product rule on $\hat{x}_i = (x_i - \mu)\, r$, and once more $x_i - \mu = \hat{x}_i / r$:
#
# $$
# \frac{\partial \hat{x}_i}{\partial x_j}
# = \left( \delta_{ij} - \frac{1}{H} \right) r - (x_i - \mu) \frac{r^2 \hat{x}_j}{H}
# = r \left( \delta_{ij} - \frac{1}{H} - \frac{\hat{x}_i \hat{x}_j}{H} \right)
# $$
#
# Let us check this Jacobian before going on, by moving one $x_j$ after the other:

# %%
token = x[0, 0]
_, (token_hat, token_rstd, _) = layer_norm_forward(token, gain, shift)
jacobian = token_rstd * (np.eye(H) - 1 / H - np.outer(token_hat, token_hat) / H)
rows = []
for i in range(H):  # row i: the gradient of x_hat[i]
    rows.append(numeric_gradient(lambda i=i: float(layer_norm_forward(token, 1.0, 0.0)[0][i]), token))
agree("the Jacobian", jacobian, np.array(rows), 1e-8)

# %% [markdown]
# **The chain rule** multiplies `dx_hat` from the left, and each of the three terms becomes a simple thing:
#
# $$
# \mathrm{d}x_j = \sum_i \mathrm{d}\hat{x}_i \frac{\partial \hat{x}_i}{\partial x_j}
# = r \Big( \mathrm{d}\hat{x}_j
# \; - \underbrace{\frac{1}{H} \sum_i \mathrm{d}\hat{x}_i}_{\text{through } \mu}
# \; - \; \hat{x}_j \underbrace{\frac{1}{H} \sum_i \mathrm{d}\hat{x}_i \hat{x}_i}_{\text{through } \sigma} \Big)
# $$
#
# Two means and a subtraction. No Jacobian is built.


# %%
def layer_norm_backward(dy, cache):
    x_hat, rstd, gain = cache
    # y = gain * x_hat + shift
    tokens = tuple(range(dy.ndim - 1))
    dgain = (dy * x_hat).sum(axis=tokens)
    dshift = dy.sum(axis=tokens)
    dx_hat = dy * gain
    # x_hat = (x - mean) * rstd
    through_mean = dx_hat.mean(axis=-1, keepdims=True)
    through_std = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
    dx = rstd * (dx_hat - through_mean - x_hat * through_std)
    return dx, dgain, dshift


dy = rng.standard_normal(x.shape)
y, cache = layer_norm_forward(x, gain, shift)
dx, dgain, dshift = layer_norm_backward(dy, cache)


def loss():
    return float((layer_norm_forward(x, gain, shift)[0] * dy).sum())


agree("dx", dx, numeric_gradient(loss, x), 1e-8)
agree("dgain", dgain, numeric_gradient(loss, gain), 1e-8)
agree("dshift", dshift, numeric_gradient(loss, shift), 1e-8)

by_package = F.layer_norm_backward(dy, F.layer_norm_forward(x, gain, shift)[1])
for name, theirs, ours in zip(["dx", "dgain", "dshift"], by_package, [dx, dgain, dshift], strict=True):
    agree(f"{name} of the package", theirs, ours, 1e-12)

# %% [markdown]
# ## 5. What the gradient looks like
#
# Look at the matrix in the Jacobian,
# $P = I - \frac{1}{H} \mathbf{1}\mathbf{1}^{\top} - \frac{1}{H} \hat{x}\hat{x}^{\top}$. Both $\mathbf{1}$ and $\hat{x}$
# have the squared length $H$, and they are at right angles (the mean of $\hat{x}$ is 0). So $P$ takes out of a vector
# its part along $\mathbf{1}$ and its part along $\hat{x}$, and leaves the rest: it is a *projection*. ($I$ is here the
# identity matrix.)
#
# $$
# P^{\top} = P, \qquad P P = P, \qquad P \mathbf{1} = 0, \qquad P \hat{x} = 0
# $$
#
# That had to be so. Moving $x$ along $\mathbf{1}$ changes the level, moving it along $\hat{x}$ changes the size, and
# LayerNorm forgets both (section 2). Nothing that the output does not depend on can have a gradient. In the picture:
# the gradient runs along the circle, never towards the middle.

# %%
projection = np.eye(H) - 1 / H - np.outer(token_hat, token_hat) / H
ones = np.ones(H)
assert np.allclose(projection, projection.T, rtol=0, atol=1e-12)
assert np.allclose(projection @ projection, projection, rtol=0, atol=1e-10)
assert np.allclose(projection @ ones, 0, rtol=0, atol=1e-12)
assert np.allclose(projection @ token_hat, 0, rtol=0, atol=1e-10)
print(f"P is a projection of rank {np.linalg.matrix_rank(projection, tol=1e-6)}, with H = {H}")
assert np.linalg.matrix_rank(projection, tol=1e-6) == H - 2

along = np.abs([dx.sum(axis=-1), (dx * x_hat).sum(axis=-1)]).max()
print("dx is at right angles to (1, ..., 1) and to x_hat:", bool(along < 1e-10 * np.abs(dx).max()))
assert along < 1e-10 * np.abs(dx).max()

# %% [markdown]
# And look at the factor $r$ in front. If a layer makes its vectors ten times larger, the output of LayerNorm is the
# same, and the gradient that goes back is *ten times smaller*:

# %%
_, cache_of_large = layer_norm_forward(10 * x, gain, shift)
dx_of_large, _, _ = layer_norm_backward(dy, cache_of_large)
agree("dx at 10 x, times 10, against dx at x", 10 * dx_of_large, dx, 1e-10)

# %% [markdown]
# So the step that training takes, measured in units of the vector itself, falls with the square of its size. Weights in
# front of a LayerNorm slow down by themselves when they grow.
#
# ## 6. Six mistakes, measured
#
# Each of these is quickly written. How far off is each, with random gains, and with the gains of a fresh model, where γ
# = 1 and β = 0?


# %%
def variant(**change):
    """LayerNorm's dx with one thing changed, as a function of (x, gain, dy)."""

    def dx(x, gain, dy):
        divisor = x.shape[-1] - change.get("ddof", 0)
        variance = ((x - x.mean(-1, keepdims=True)) ** 2).sum(-1, keepdims=True) / divisor
        eps = change.get("eps", 1e-12)
        rstd = 1 / (np.sqrt(variance) + eps) if change.get("outside") else 1 / np.sqrt(variance + eps)
        x_hat = (x - x.mean(-1, keepdims=True)) * rstd
        dx_hat = dy if change.get("no_gain") else dy * gain
        through_mean = 0 if change.get("no_mean") else dx_hat.mean(-1, keepdims=True)
        through_std = 0 if change.get("no_std") else (dx_hat * x_hat).mean(-1, keepdims=True)
        return rstd * (dx_hat - through_mean - x_hat * through_std)

    return dx


mistakes = {
    "none": variant(),
    "gain forgotten": variant(no_gain=True),
    "path through the mean forgotten": variant(no_mean=True),
    "path through the deviation forgotten": variant(no_std=True),
    "variance divided by H - 1": variant(ddof=1),
    "epsilon outside the root, 1e-5": variant(outside=True, eps=1e-5),
    "epsilon 1e-5 in place of 1e-12": variant(eps=1e-5),
}
errors = {}
for place, some_gain in [("random", gain), ("fresh", np.ones(H))]:
    measured = numeric_gradient(lambda g=some_gain: float((layer_norm_forward(x, g, 0)[0] * dy).sum()), x)
    for name, wrong in mistakes.items():
        errors[name, place] = relative_error(wrong(x, some_gain, dy), measured)

print(f"{'mistake':38} random gain  fresh model")
for name in mistakes:
    found = [errors[name, place] for place in ("random", "fresh")]
    print(f"{name:38}", *(f"{error:11.0e} " if error > 1e-8 else f"{'unseen':>11} " for error in found))

assert errors["none", "random"] < 1e-8
assert all(errors[name, "random"] > 1e-8 for name in mistakes if name != "none")
assert errors["gain forgotten", "fresh"] < 1e-8

# %% [markdown]
# The forgotten gain is *invisible* on a fresh model, and wrong by its full size on any other. The wrong ε shows in the
# fifth digit only; but with activations of a small variance it is not small at all. This is why the tests of the
# package randomise all gains, and why they ask for agreement to $10^{-11}$.

# %%
small = 1e-3 * rng.standard_normal((4, H))
right, _ = layer_norm_forward(small, gain, shift, 1e-12)
other, _ = layer_norm_forward(small, gain, shift, 1e-5)
change = relative_error(other, right)
print(f"variance near 1e-6: an epsilon of 1e-5 changes the output by {change:.0%}")
assert change > 0.3

# %% [markdown]
# ## On your own
#
# 1. Show from the formula that the entries of each token's `dx` add up to 0. What does that say about the bias of a
#    linear layer right before a LayerNorm? (Is its gradient 0? Mind the γ.)
# 2. RMSNorm leaves the mean alone: $y_i = \gamma_i x_i / \sqrt{\frac{1}{H}\sum_k x_k^2 + \varepsilon}$. Derive its
#    backward and check it. Which of the two paths is left?
# 3. With $H = 2$, what values can $\hat{x}$ have? What is `dx` then? Compute it before you run it.
# 4. In `far`, section 3, how large must the deviation be for `one_pass` to be good to 1 %? Does subtracting the first
#    number of each row before help?
# 5. ε is part of the exact derivative: $\sum_i \hat{x}_i^2 = H \sigma^2 / (\sigma^2 + \varepsilon)$. Is $P$ still a
#    projection if ε is large? Is `layer_norm_backward` still right? Check both with ε = 1.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `layer_norm_forward` and `layer_norm_backward`. It knows most mistakes of section 6 by name.
#
# ## Further reading
#
# * Ba, Kiros and Hinton 2016, *Layer normalization*, arXiv 1607.06450, sections 3 and 5.1: what is invariant under
#   what.
# * Xiong et al. 2020, *On layer normalization in the Transformer architecture*, arXiv 2002.04745: before or after the
#   block (tutorial 6).
# * In this package: `layer_norm_forward` and `layer_norm_backward` in `bert_numpy/nn/functional.py`. Then tutorial 5.
