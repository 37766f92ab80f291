# %% [markdown]
# # 3. A linear layer and the chain rule
#
# Most of BERT's weights sit in linear layers, and all of its learning is the chain rule. This tutorial does both on the
# smallest example that has everything in it. Whatever comes later (normalization, attention, a loss) is one more pair
# of functions of the same kind.
#
# **What you will do.** Derive the gradients of a linear layer, index by index, and write its backward. Chain three
# layers and go back through them. Then check a gradient by measuring it, and draw how good such a measurement can be.
#
# **What you will learn.** What `dfoo` means. What a cache is, what is in it and why it is not kept in the layer. Why
# gradients are computed from the loss backwards. Which step width a gradient check needs, and what such a check does
# not see.
#
# **What you need.** Tutorial 2, partial derivatives, and what a matrix product is. About 30 minutes.

# %%
import math

import numpy as np

from bert_numpy.nn import functional as F
from bert_numpy.verification.gradcheck import numeric_gradient, relative_error
from bert_numpy.visualization import draw_gradient_check

rng = np.random.default_rng(0)


def agree(name, actual, expected, limit):
    """Assert that two arrays differ by less than a share of the largest value, and say so."""
    error = relative_error(actual, expected)
    assert error < limit, f"{name}: {error}"
    print(f"{name}: the difference is below {limit:g}")


# %% [markdown]
# ## 1. What a gradient is
#
# Training has one number to make small, the loss $L$. Everything that the loss depends on has a gradient: for an array
# `foo`, the array `dfoo` of the *same shape*, with
#
# $$
# \mathrm{dfoo}_{ij} = \frac{\partial L}{\partial\, \mathrm{foo}_{ij}}
# $$
#
# It is the answer to one question: if I change `foo` a little, by $\delta$, how does the loss change?
#
# $$
# L(\mathrm{foo} + \delta) =
# L(\mathrm{foo}) + \sum_{ij} \mathrm{dfoo}_{ij}\, \delta_{ij} + \text{something of the order of } \delta^2
# $$
#
# An example whose gradient you know: $L = \sum_{ij} \mathrm{foo}_{ij}^2$ has $\mathrm{dfoo} = 2\, \mathrm{foo}$. When
# $\delta$ is ten times smaller, what is left over has to be a hundred times smaller:

# %%
foo = rng.standard_normal((2, 3))
dfoo = 2 * foo
direction = rng.standard_normal(foo.shape)
for size in (1e-1, 1e-2, 1e-3):
    delta = size * direction
    left_over = ((foo + delta) ** 2).sum() - (foo**2).sum() - (dfoo * delta).sum()
    print(f"change of {size:5g}: left over {left_over:.3g}")
    assert math.isclose(left_over, (delta**2).sum(), rel_tol=1e-6)  # here it is just that

# %% [markdown]
# ## 2. The linear layer, forward
#
# A linear layer takes $N$ rows of numbers (for BERT: one row a token) and turns each into another row. It has a weight
# and a bias:
#
# $$
# y = x\, W^{\top} + b \qquad\text{that is}\qquad y_{no} = \sum_i x_{ni} W_{oi} + b_o
# $$
#
# $n$ counts the rows, $i$ the numbers that go *in*, $o$ those that come *out*. The weight is stored as (out, in), which
# is how all published BERT files have it; hence the transpose.

# %%
N, IN, OUT = 4, 5, 3  # all different: see section 8
x, weight, bias = rng.standard_normal((N, IN)), rng.standard_normal((OUT, IN)), rng.standard_normal(OUT)
y = x @ weight.T + bias
print("x", x.shape, " weight", weight.shape, " bias", bias.shape, " y", y.shape)

# %% [markdown]
# ## 3. Backward, derived
#
# Somebody, the rest of the network, gives us `dy`, of the shape of $y$. We owe three gradients: `dx`, `dweight`,
# `dbias`.
#
# **The chain rule.** An entry of $x$ acts on the loss only through the entries of $y$ that it is part of. Each of these
# passes the change on at its own rate, and the effects add:
#
# $$
# \frac{\partial L}{\partial x_{ni}}
# = \sum_{m,o} \frac{\partial L}{\partial y_{mo}} \frac{\partial y_{mo}}{\partial x_{ni}}
# $$
#
# From $y_{mo} = \sum_j x_{mj} W_{oj} + b_o$ we read off: $y_{mo}$ contains $x_{ni}$ only if $m = n$, and then with the
# factor $W_{oi}$. So
#
# $$
# \mathrm{d}x_{ni} = \sum_o \mathrm{d}y_{no} W_{oi}
# \qquad\text{that is}\qquad \mathrm{d}x = \mathrm{d}y\; W
# $$
#
# **The weight.** $W_{oi}$ is in $y_{no}$ for *every* row $n$, with the factor $x_{ni}$:
#
# $$
# \mathrm{d}W_{oi} = \sum_n \mathrm{d}y_{no}\, x_{ni}
# \qquad\text{that is}\qquad \mathrm{d}W = \mathrm{d}y^{\top} x
# $$
#
# **The bias.** $b_o$ is in $y_{no}$ for every row, with the factor 1:
#
# $$
# \mathrm{d}b_o = \sum_n \mathrm{d}y_{no}
# $$
#
# Three formulas, three lines. Each line quotes the forward line that it belongs to:


# %%
def linear_forward(x, weight, bias):
    y = x @ weight.T + bias
    return y, (x, weight)


def linear_backward(dy, cache):
    x, weight = cache
    # y = x @ weight.T + bias
    dx = dy @ weight
    dweight = dy.T @ x
    dbias = dy.sum(axis=0)
    return dx, dweight, dbias


# %% [markdown]
# Are they right? Measure. Move each single entry of $x$ up and down by a small $h$, and divide the change of the loss
# by $2h$; section 7 is about how well that works. As loss we take $L = \sum_{no} y_{no}\, \mathrm{d}y_{no}$ with a
# random `dy`: its gradient with respect to $y$ is just `dy`.

# %%
dy = rng.standard_normal((N, OUT))
y, cache = linear_forward(x, weight, bias)
gradients = linear_backward(dy, cache)


def loss():
    return float((linear_forward(x, weight, bias)[0] * dy).sum())


for name, array, gradient in zip(["x", "weight", "bias"], [x, weight, bias], gradients, strict=True):
    assert gradient.shape == array.shape
    agree(f"d{name}", gradient, numeric_gradient(loss, array), 1e-8)

# %% [markdown]
# The package has the same pair in `bert_numpy/nn/functional.py`, with one more thing: $x$ may have any number of axes
# in front, as (B, S, H). Every token is a row; so the leading axes are folded into one, which is $n$.

# %%
many = rng.standard_normal((2, 4, IN))  # (B, S, in)
y_many, cache_many = F.linear_forward(many, weight, bias)
dy_many = rng.standard_normal(y_many.shape)
by_package = F.linear_backward(dy_many, cache_many)
by_hand = linear_backward(dy_many.reshape(-1, OUT), (many.reshape(-1, IN), weight))
for name, theirs, ours in zip(["dx", "dweight", "dbias"], by_package, by_hand, strict=True):
    agree(name, theirs.reshape(ours.shape), ours, 1e-12)

# %% [markdown]
# ## 4. The cache
#
# Look at what `linear_backward` needs besides `dy`: the $x$ and the weight *of the forward pass*. That is the cache,
# what a forward keeps for its backward. Not everything has to be in it: $y$ and the bias are not, because no formula
# contains them. What the caches hold is the memory that training takes and inference does not.
#
# Where to put it? Many implementations write `self.cache = x` into the layer. Then the layer remembers one call, the
# last. Use the layer twice before going back, and the first call's cache is gone:


# %%
class Forgetful:
    """A linear layer that keeps its cache in itself, as one should not."""

    def forward(self, x):
        y, self.cache = linear_forward(x, weight, bias)
        return y

    def backward(self, dy):
        return linear_backward(dy, self.cache)[1]


first, second = rng.standard_normal((2, N, IN))
layer = Forgetful()
layer.forward(first)
layer.forward(second)
wrong = layer.backward(dy) + layer.backward(dy)  # the gradient of the weight, from both uses

caches = [linear_forward(some, weight, bias)[1] for some in (first, second)]
right = sum(linear_backward(dy, cache)[1] for cache in caches)
measured = numeric_gradient(lambda: float(((first + second) @ weight.T * dy).sum()), weight)
agree("cache returned", right, measured, 1e-8)
print(f"cache in the layer: wrong by {relative_error(wrong, measured):.0%}")
assert relative_error(wrong, measured) > 0.1

# %% [markdown]
# So in this package the cache is a *return value*, everywhere. Whoever calls forward holds the cache, and hands it to
# backward.
#
# ## 5. A chain of layers
#
# Now three functions after each other, and a loss:
#
# $$
# x \;\longrightarrow\; a = x W_1^{\top} + b_1 \;\longrightarrow\; h = \tanh a \;\longrightarrow\;
# y = h W_2^{\top} + b_2 \;\longrightarrow\; L = \tfrac{1}{2} \sum_{no} (y_{no} - t_{no})^2
# $$
#
# Forward runs from left to right and collects the caches. Backward begins at the loss, whose gradient we can write
# down, $\mathrm{d}y = y - t$, and gives each function the gradient of its output. That is all of backpropagation: the
# chain rule, applied once for each function, in reverse.
#
# We need the derivative of tanh, entry by entry. With $\tanh' = 1 - \tanh^2$: $\;\mathrm{d}a = \mathrm{d}h\,(1 - h^2)$.

# %%
K = 6  # the size in the middle
target = rng.standard_normal((N, OUT))
weights = {
    "weight_1": rng.standard_normal((K, IN)),
    "bias_1": rng.standard_normal(K),
    "weight_2": rng.standard_normal((OUT, K)),
    "bias_2": rng.standard_normal(OUT),
}


def network_forward(x, weights):
    a, cache_1 = linear_forward(x, weights["weight_1"], weights["bias_1"])
    h = np.tanh(a)
    y, cache_2 = linear_forward(h, weights["weight_2"], weights["bias_2"])
    return y, (cache_1, h, cache_2)


def network_backward(dy, cache):
    cache_1, h, cache_2 = cache
    dh, dweight_2, dbias_2 = linear_backward(dy, cache_2)
    da = dh * (1 - h * h)
    dx, dweight_1, dbias_1 = linear_backward(da, cache_1)
    return dx, {"weight_1": dweight_1, "bias_1": dbias_1, "weight_2": dweight_2, "bias_2": dbias_2}


def network_loss():
    return float(0.5 * ((network_forward(x, weights)[0] - target) ** 2).sum())


y, cache = network_forward(x, weights)
dx, dweights = network_backward(y - target, cache)
for name, array in weights.items():
    agree(f"d{name}", dweights[name], numeric_gradient(network_loss, array), 1e-7)
agree("dx", dx, numeric_gradient(network_loss, x), 1e-7)

# %% [markdown]
# ### Why backwards?
#
# Each function has a matrix of all its partial derivatives, the *Jacobian*: one row for each output, one column for
# each input. The chain rule says that the Jacobian of a chain is the product of the Jacobians. For our first layer,
# seen as a function from the entries of $x$ to the entries of $a$:

# %%
jacobian = np.zeros((N, K, N, IN))
for n in range(N):
    jacobian[n, :, n, :] = weights["weight_1"]  # row n of a depends on row n of x alone
jacobian = jacobian.reshape(N * K, N * IN)

da = rng.standard_normal((N, K))
agree("da times Jacobian = dx", (da.ravel() @ jacobian).reshape(N, IN), da @ weights["weight_1"], 1e-12)
print(f"{np.count_nonzero(jacobian)} of {jacobian.size} entries are not 0")

# %% [markdown]
# The loss is one number, so its Jacobian is a single row. Multiplying from the left, from the loss backwards, it stays
# a single row at every step: vector times matrix. From the right, it would be matrix times matrix all the way. And the
# matrices are never built: `linear_backward` multiplies by the Jacobian without having it. How large would it be, for
# one layer of the base size of BERT and a sequence of 512 tokens?

# %%
entries = 512 * 768
print(f"{entries:,} entries in, as many out")
print(f"a Jacobian of {entries**2:,} numbers, {entries**2 * 4 / 2**30:,.0f} GiB in float32")

# %% [markdown]
# ## 6. Used twice: gradients add
#
# In BERT the input of a block goes into the block *and* around it: $y = x + f(x)$, a residual connection. Then $x$ acts
# on the loss in two ways, and the sum in the chain rule has two terms, one for each way:
#
# $$
# \mathrm{d}x = \underbrace{\mathrm{d}y}_{\text{around}} +
# \underbrace{\text{backward of } f \text{ applied to } \mathrm{d}y}_{\text{through}}
# $$
#
# The same holds for a weight that is used in two places (tutorial 8 has one). It is the reason for a rule of this
# package: gradients are only ever *added* to what is there (`Parameter.accumulate`), never assigned.

# %%
square = rng.standard_normal((IN, IN))
zeros = np.zeros(IN)
dy_residual = rng.standard_normal((N, IN))
fx, cache = linear_forward(x, square, zeros)
dx = dy_residual + linear_backward(dy_residual, cache)[0]
measured = numeric_gradient(lambda: float(((x + x @ square.T) * dy_residual).sum()), x)
agree("dx of x + f(x)", dx, measured, 1e-8)

# %% [markdown]
# ## 7. How well can a gradient be measured?
#
# Take a function $f$ of one number (the loss along some direction). Taylor's formula at $h$ and at $-h$:
#
# $$
# f(\pm h) = f(0) \pm h f'(0) + \frac{h^2}{2} f''(0) \pm \frac{h^3}{6} f'''(0) + \dots
# $$
#
# There are two ways to get at $f'(0)$:
#
# $$
# \underbrace{\frac{f(h) - f(0)}{h} = f' + \frac{h}{2} f'' + \dots}_{\text{forward difference}}
# \qquad
# \underbrace{\frac{f(h) - f(-h)}{2h} = f' + \frac{h^2}{6} f''' + \dots}_{\text{central difference}}
# $$
#
# In the second the terms with $h^2$ cancel: its error falls with the *square* of $h$. So make $h$ as small as possible?
# No. A computer stores $f$ with a relative error of about $\varepsilon = 10^{-16}$ (float64), and the difference is
# divided by $h$: that error grows as $\varepsilon / h$. The sum of the two is least in between. For the central
# difference, set the derivative of the sum to zero:
#
# $$
# \frac{\mathrm{d}}{\mathrm{d}h} \left( c\, h^2 + \frac{\varepsilon}{h} \right) = 2 c h - \frac{\varepsilon}{h^2} = 0
# \quad\Longrightarrow\quad h = \left( \frac{\varepsilon}{2c} \right)^{1/3} \approx 10^{-5},
# \quad \text{error} \approx \varepsilon^{2/3} \approx 10^{-11}
# $$
#
# and for the forward difference likewise $h \approx \varepsilon^{1/2} = 10^{-8}$ with an error of about $10^{-8}$. In
# float32, where $\varepsilon \approx 10^{-7}$, even the best central difference is good to four or five digits only.
# That is why gradient checks are done in float64.
#
# All of this can be seen. At 500 random points we measure the slope of our network's loss along a random direction,
# with many step widths, and compare it with the slope that backward gives. Each mark is the median of the 500 errors.

# %%
steps = np.logspace(-12, 0, 37)
starts, directions = rng.standard_normal((2, 500, N, IN))
slopes = np.empty(500)  # what backward says
for n, (x, direction) in enumerate(zip(starts, directions, strict=True)):
    y, cache = network_forward(x, weights)
    dx, _ = network_backward(y - target, cache)
    slopes[n] = (dx * direction).sum()


def losses_at(h, dtype):
    """The loss at x + h v, for all points x and directions v at once."""
    moved = starts.astype(dtype) + dtype(h) * directions.astype(dtype)
    cast = {name: array.astype(dtype) for name, array in weights.items()}
    y, _ = network_forward(moved, cast)
    return (dtype(0.5) * np.square(y - target.astype(dtype)).sum(axis=(1, 2))).astype(np.float64)


def forward_errors(dtype, slopes):
    base = losses_at(0, dtype)
    return [np.median(np.abs((losses_at(h, dtype) - base) / h / slopes - 1)) for h in steps]


def central_errors(dtype, slopes):
    differences = [(losses_at(h, dtype) - losses_at(-h, dtype)) / (2 * h) for h in steps]
    return [np.median(np.abs(difference / slopes - 1)) for difference in differences]


curves = {
    "forward, float64": forward_errors(np.float64, slopes),
    "central, float64": central_errors(np.float64, slopes),
    "central, float32": central_errors(np.float32, slopes),
    "central, float64, gradient wrong by 1 %": central_errors(np.float64, 1.01 * slopes),
}
figure = draw_gradient_check(steps, curves, title="A gradient check: error against step width")
figure

# %% [markdown]
# Read it from the right. The forward difference falls along a line of slope 1 (ten times smaller step, ten times
# smaller error), the central one along a line of slope 2. Then both meet the rounding and climb again with slope $-1$.
# And a gradient that is wrong, by no more than one percent, has *no V*: its curve runs flat at the size of the mistake.
# This is how to tell a wrong gradient from a bad measurement. In float32, far on the left, the step is too small to
# change $x$ at all: the measured slope is 0, an error of 100 percent.


# %%
for name, low, high, expected in [
    ("forward, float64", 1e-6, 1e-2, 1),
    ("central, float64", 1e-4, 1e-2, 2),
    ("forward, float64", 1e-12, 1e-9, -1),
    ("central, float64", 1e-12, 1e-7, -1),
]:
    ends = np.searchsorted(steps, [0.99 * low, 0.99 * high])
    slope = np.diff(np.log(curves[name])[ends])[0] / np.diff(np.log(steps)[ends])[0]
    print(f"{name}, h from {low:g} to {high:g}: slope {slope:.1f}")
    assert abs(slope - expected) < 0.2

for name, (low, high) in [("forward, float64", (1e-9, 1e-7)), ("central, float64", (1e-6, 1e-4))]:
    print(f"{name}: the lowest point is between h = {low:g} and {high:g}")
    assert low <= steps[np.argmin(curves[name])] <= high

# %% [markdown]
# `bert_numpy/verification/gradcheck.py` does this for single arrays with $h = 10^{-6}$, and for whole models along one
# random direction for each parameter with $h = 10^{-5}$. The tests of the package run it for every operation and every
# head.
#
# ## 8. What a check does not see
#
# A check looks at one point. If the point is special, a wrong gradient can agree with a right one. Here is a backward
# with two mistakes: the weight is transposed, and the bias has the gradient of one row only.


# %%
def errors_of_wrong_backward(N, weight):
    """Its error against measurement, for N rows: the largest of dx, dweight, dbias."""
    x, bias = rng.standard_normal((N, weight.shape[1])), np.zeros(len(weight))
    dy = rng.standard_normal((N, len(weight)))
    dx = dy @ weight.T  # should be: dy @ weight
    dweight = dy.T @ x
    dbias = dy[0]  # should be: dy.sum(axis=0)

    def loss():
        return float((linear_forward(x, weight, bias)[0] * dy).sum())

    pairs = [(x, dx), (weight, dweight), (bias, dbias)]
    return max(relative_error(gradient, numeric_gradient(loss, array)) for array, gradient in pairs)


random_square = rng.standard_normal((3, 3))
for name, rows, some_weight in [
    ("random weight, four rows", 4, random_square),
    ("symmetric weight, one row", 1, random_square + random_square.T),
    ("identity, one row", 1, np.eye(3)),
]:
    found = errors_of_wrong_backward(rows, some_weight) > 1e-8
    print(f"{name}: {'found' if found else 'nothing found'}")
    assert found == (rows == 4)

# %% [markdown]
# With sizes that all differ, the transposed weight would not even have run. So the rules for a check are: float64, all
# sizes different, every parameter random (no zeros, no ones, nothing symmetric), more than one row. A *fresh* model
# breaks them: its biases are 0 and its LayerNorm gains 1.
#
# ## On your own
#
# 1. `linear_backward` computes `dx` also for the first layer of a network, where nobody asks for it. What share of the
#    multiplications of a training step of one linear layer is that?
# 2. Write `relu_forward` and `relu_backward`, and check them. Then check them at $x = 0$. What does the measurement
#    give there, and what does `F.relu_backward`?
# 3. Add the third difference $\frac{8 (f(h) - f(-h)) - (f(2h) - f(-2h))}{12 h}$ to the picture. Which slope do you
#    expect on the right, and where does the V have its lowest point?
# 4. Make the loss of the network a thousand times larger, by a constant added to it. What happens to the left branch of
#    the V?
# 5. In section 4, is `wrong` right if both calls get the same input? Why do most networks with `self.cache` train well,
#    and which do not?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `linear_forward`, `linear_backward`, `numeric_gradient` and `relative_error`.
#
# ## Further reading
#
# * Rumelhart, Hinton and Williams 1986, *Learning representations by back-propagating errors*, Nature 323.
# * Griewank and Walther 2008, *Evaluating Derivatives*, chapter 3: why reverse, and at what price.
# * In this package: `linear_forward` and `linear_backward` in `bert_numpy/nn/functional.py`, `Linear` in
#   `bert_numpy/nn/layers.py`, and `bert_numpy/verification/gradcheck.py`. Then tutorial 4.
