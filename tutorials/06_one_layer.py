# %% [markdown]
# # 6. One layer: GELU, dropout, residuals
#
# **What you will do.** Derive the three parts of a layer that are still missing: the activation GELU, dropout, and the
# residual connection. Then put one whole layer of BERT together, forward and backward, in about forty lines, and
# compare it with the package to the last gradient.
#
# **What you will learn.** Why GELU is an average over a random gate, and how large its slope gets. Why dropout must use
# the same mask in both directions. Why a residual connection keeps gradients alive through many layers. How gradients
# of branches are added up, which is most of what a backward pass of a whole layer is.
#
# **What you need.** Tutorial 3 (linear layer, cache, gradient check), 4 (LayerNorm) and 5 (attention).
# About 40 minutes to read.

# %%
import math

import numpy as np

from bert_numpy import BertForMaskedLM, BertTokenizer
from bert_numpy.nn import functional as F
from bert_numpy.verification import directional_errors, numeric_gradient, relative_error
from bert_numpy.visualization.shapes import draw_layer_shapes, record_shapes


def agree(what, actual, expected, bound=1e-12):
    """Say that two arrays are equal up to a bound, after making sure that they are."""
    difference = relative_error(np.asarray(actual), np.asarray(expected))
    assert difference < bound, f"{what}: {difference}"
    print(f"{what}: equal, the difference is below {bound:g}")


rng = np.random.default_rng(6)

# %% [markdown]
# ## 1. GELU: a gate that is averaged over
#
# Two linear layers in a row are one linear layer: $W_2(W_1 x) = (W_2 W_1) x$. What makes the pair worth its numbers is
# a function in between that is not linear, applied to each element by itself.
#
# Take a gate that is 1 with probability $\Phi(x)$ and 0 otherwise, where $\Phi$ is the distribution function of the
# standard normal: the larger $x$ is compared with what normally comes, the likelier it passes. The output is $x$ times
# the gate. Averaged over the gate, that is the Gaussian error linear unit
#
# $$\mathrm{gelu}(x) = x\,\Phi(x), \qquad \Phi(x) = \tfrac12\left(1 + \mathrm{erf}\!\left(x/\sqrt2\right)\right).$$
#
# NumPy has no erf, the standard library has one. That is slow and exact, as a first version should be.


# %%
def cdf(x):
    """Φ(x), one element at a time."""
    return np.vectorize(lambda value: 0.5 * (1 + math.erf(value / math.sqrt(2))))(x)


def gelu(x):
    return x * cdf(x)


x = np.linspace(-6, 6, 1201)
agree("our gelu and the package's", gelu(x), F.gelu_forward(x)[0])

one_value, gates = 0.8, rng.random(1_000_000) < cdf(0.8)  # a million gates
print(f"average of {one_value} times the gate: {(one_value * gates).mean():.3f}, gelu: {gelu(np.array(one_value)):.3f}")
assert abs((one_value * gates).mean() - gelu(np.array(one_value))) < 5 * one_value * 0.5 / math.sqrt(1_000_000)

# %% [markdown]
# **Backward.** The product rule, with $\Phi' = \varphi$, the density of the normal distribution:
#
# $$\mathrm{gelu}'(x) = \Phi(x) + x\,\varphi(x), \qquad \varphi(x) = \frac{1}{\sqrt{2\pi}}\, e^{-x^2/2}.$$
#
# It acts on each element alone, so the chain rule of tutorial 3 has one term: `dx = dy * gelu'(x)`.


# %%
def pdf(x):
    """φ(x)."""
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_slope(x):
    return cdf(x) + x * pdf(x)


agree("our slope and the package's backward", gelu_slope(x), F.gelu_backward(np.ones_like(x), x))
few = rng.normal(size=20)
agree("our slope and finite differences", gelu_slope(few), numeric_gradient(lambda: gelu(few).sum(), few), 1e-8)

# %% [markdown]
# Is the slope always between 0 and 1, as that of ReLU is? Differentiate once more. Since $\varphi'(x) = -x\varphi(x)$,
#
# $$\mathrm{gelu}''(x) = \varphi + \varphi + x\varphi' = \varphi(x)\,(2 - x^2),$$
#
# which is 0 at $x = \pm\sqrt2$. There the slope is largest and smallest. It is **above 1** on the right and
# **negative** on the left: GELU is not monotone. Its lowest point is where $\Phi(x) + x\varphi(x) = 0$.

# %%
top = math.sqrt(2)
print(f"slope at √2: {gelu_slope(np.array(top)):.4f}, at -√2: {gelu_slope(np.array(-top)):.4f}")
assert abs(x[gelu_slope(x).argmax()] - top) < 0.01
assert abs(x[gelu_slope(x).argmin()] + top) < 0.01
lowest = x[gelu(x).argmin()]
print(f"lowest point: gelu({lowest:.2f}) = {gelu(x).min():.4f}, the slope there is {gelu_slope(lowest):.3f}")
assert abs(gelu_slope(lowest)) < 0.005

# %% [markdown]
# The published weights of BERT were trained with this function. Google's code replaced erf by a tanh in 2019, and many
# copies of it did so too:
#
# $$\mathrm{gelu\_new}(x) = \tfrac12 x\left(1 + \tanh\!\left(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\right)\right).$$
#
# The two are so close that no training and no picture tells them apart. In a port they are a bug, which tutorial 7
# makes visible.

# %%
tanh_form = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
agree("our tanh form and the package's gelu_new", tanh_form, F.gelu_new_forward(x)[0])
gap = np.abs(tanh_form - gelu(x))
print(f"largest gap between the two: {gap.max():.2e}, at |x| = {abs(x[gap.argmax()]):.2f}")
assert 4.7e-4 < gap.max() < 4.8e-4

# %% [markdown]
# ## 2. Dropout: noise with the right mean
#
# In training, each element is set to 0 with probability $p$, so that no unit can rely on another one being there. At
# use nothing is dropped. The sums that the next layer forms must be of the same size in both modes, so what is kept is
# divided by the probability of being kept:
#
# $$y_i = \frac{k_i}{1-p}\,x_i, \qquad k_i = 1 \text{ with probability } 1-p, \text{ else } 0.$$
#
# The mean over $k$ is $\mathrm{E}[y_i] = \frac{1-p}{1-p}x_i = x_i$. The variance follows from $k^2 = k$:
#
# $$\mathrm{Var}[y_i] = \frac{x_i^2}{(1-p)^2}\left((1-p) - (1-p)^2\right) = x_i^2\,\frac{p}{1-p}.$$

# %%
p, values = 0.1, np.array([3.0, -1.0, 0.5])
draws = np.stack([F.dropout_forward(values, p, rng)[0] for _ in range(40_000)])
print("mean of the draws:    ", draws.mean(axis=0).round(2), "  expected:", values)
print("variance of the draws:", draws.var(axis=0).round(2), "  expected:", (values**2 * p / (1 - p)).round(2))
assert np.allclose(draws.mean(axis=0), values, rtol=0, atol=5 * 3 * math.sqrt(p / (1 - p) / 40_000))
assert np.allclose(draws.var(axis=0), values**2 * p / (1 - p), rtol=0.06)

# %% [markdown]
# **Backward.** Once the mask is drawn, dropout is a multiplication of each element by a constant, and
#
# $$\mathrm{d}x_i = \frac{k_i}{1-p}\,\mathrm{d}y_i \quad\text{with the same } k_i.$$
#
# So the mask has to be kept from forward to backward: it is the cache. A fresh mask in backward would be the gradient
# of another function than the one that was computed. Finite differences see that at once, if each evaluation drops the
# same elements; a generator that is set back to the same seed does that.


# %%
def loss_of(x):
    """Some function of a dropped-out array; the weights make all elements different."""
    y, cache = F.dropout_forward(x, 0.5, np.random.default_rng(1))
    return float((weights * y**2).sum()), (y, cache)


x, weights = rng.normal(size=12), rng.normal(size=12)
_, (y, cache) = loss_of(x)
dy = 2 * weights * y
measured = numeric_gradient(lambda: loss_of(x)[0], x)
agree("the mask of forward", F.dropout_backward(dy, cache), measured, 1e-8)

_, other_cache = F.dropout_forward(x, 0.5, np.random.default_rng(2))
wrong = relative_error(F.dropout_backward(dy, other_cache), measured)
print(f"a fresh mask: wrong by {wrong:.2f} of the largest gradient")
assert wrong > 0.1

# %% [markdown]
# BERT drops in four places with $p = 0.1$: the sum of the embeddings (after its norm), the attention weights, and the
# two sums that flow back into the main stream of each layer. In eval mode the package's dropout returns its argument
# itself.

# %%
assert F.dropout_forward(values, 0.0, None)[0] is values

# %% [markdown]
# ## 3. The residual connection: a road without tolls
#
# Each half of a layer adds what it computed to what it was given:
#
# $$y = x + f(x).$$
#
# In backward, $x$ has been used twice: once on the road, once by $f$. A quantity that is used twice receives the
# **sum** of both gradients. With $J$ the matrix of derivatives of $f$,
#
# $$\mathrm{d}x = \mathrm{d}y + J^{\mathsf T}\,\mathrm{d}y.$$
#
# The first term is the gradient itself, not multiplied by anything. Through $n$ such steps the gradient is $(1 +
# J_1^{\mathsf T})\cdots(1 + J_n^{\mathsf T})\,\mathrm{d}y$, which always holds the term $\mathrm{d}y$; without the
# residual it is $J_1^{\mathsf T} \cdots J_n^{\mathsf T}\,\mathrm{d}y$, a product of small things. Let us measure it, on
# twelve feed-forward networks with weights as BERT starts with (standard deviation 0.02).

# %%
H, DEPTH = 64, 12  # and I = 4 H, as in BERT
nets = [(rng.normal(0, 0.02, (4 * H, H)), rng.normal(0, 0.02, (H, 4 * H))) for _ in range(DEPTH)]


def gradient_at_input(residual, norm):
    """Norm of the gradient that arrives at the first net, for a gradient of norm 1 at the last."""
    x, tape = rng_input.normal(size=(1, H)), []
    for W1, W2 in nets:
        hidden = x @ W1.T
        out = F.gelu_forward(hidden)[0] @ W2.T + (x if residual else 0)
        norm_cache = None
        if norm:
            out, norm_cache = F.layer_norm_forward(out, np.ones(H), np.zeros(H))
        tape.append((hidden, norm_cache))
        x = out
    dx = np.full((1, H), 1 / math.sqrt(H)) * np.where(np.arange(H) % 2, 1, -1)
    for (W1, W2), (hidden, norm_cache) in zip(reversed(nets), reversed(tape), strict=True):
        if norm:
            dx = F.layer_norm_backward(dx, norm_cache)[0]
        through_f = F.gelu_backward(dx @ W2, hidden) @ W1
        dx = through_f + (dx if residual else 0)
    return float(np.linalg.norm(dx))


results = {}
for name, residual, norm in [("plain", False, False), ("residual", True, False), ("residual and norm", True, True)]:
    rng_input = np.random.default_rng(0)
    results[name] = gradient_at_input(residual, norm)
    print(f"{name:18s} gradient at the input: {results[name]:.1e}")
assert results["plain"] < 1e-12
assert 0.5 < results["residual"] < 2
assert 0.1 < results["residual and norm"] < 10

# %% [markdown]
# Without residuals, nothing arrives: the first net would never learn. With them the gradient arrives at full size.
#
# BERT puts LayerNorm **after** the sum ("post-LN"): $y = \mathrm{LN}(x + f(x))$, as the first Transformer did. Then the
# road has a toll after all, the norm's backward at every layer. Most later models normalize the input of $f$ instead.
# That post-LN is harder to train is one reason for the warm-up of tutorial 9.
#
# ## 4. The whole layer, forward
#
# Now the layer is a list of things that you know. With $x$ of shape $(B, S, H)$:
#
# $$a = \mathrm{LN}_1\big(x + \mathrm{drop}(\mathrm{attention}(x)\,W_o^{\mathsf T} + b_o)\big)$$
#
# $$y = \mathrm{LN}_2\big(a + \mathrm{drop}(\mathrm{gelu}(a\,W_1^{\mathsf T} + b_1)\,W_2^{\mathsf T} + b_2)\big)$$
#
# Attention moves information **between** tokens. The second line, the feed-forward network, works on each token **by
# itself**: it widens the vector from $H$ to $I$ (four times as wide in BERT), gates it, and narrows it again.
#
# We take a real layer with real inputs. `tiny-random` has sizes that are all different ($H = 20$, $A = 4$ heads of
# $D = 5$, $I = 27$), gains that are not 1 and biases that are not 0, so that no mistake can hide.

# %%
tokenizer = BertTokenizer.from_pretrained("tiny-random")
model = BertForMaskedLM.from_pretrained("tiny-random", dtype=np.float64, rng=0)
layer = model.bert.encoder.layer[0]
parameters = {name: parameter.data for name, parameter in layer.named_parameters()}
for name, array in parameters.items():
    print(f"{name:35s} {array.shape}")

# %%
batch = tokenizer(["to be or not", "a bee?"], ["to be", None], padding=True, return_tensors="np")
hidden_states = model.bert(**batch, output_hidden_states=True).hidden_states[0]  # (B, S, H): out of the embeddings
real = batch["attention_mask"] == 1
mask = np.where(real, 0.0, np.finfo(np.float64).min)[:, None, None, :]  # (B, 1, 1, S): no one looks at padding
A = model.config.num_attention_heads
print("hidden states", hidden_states.shape, " real tokens in each text:", real.sum(axis=1))


# %%
def split_heads(x):
    B, S, H = x.shape
    return x.reshape(B, S, A, H // A).transpose(0, 2, 1, 3)  # (B, A, S, D)


def merge_heads(x):
    B, A, S, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)  # (B, S, H)


def linear(name, x):
    return F.linear_forward(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def norm(name, x):
    return F.layer_norm_forward(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"], 1e-12)


def layer_forward(x, p=0.0, rng=None):
    """One layer of BERT; p is the probability of dropping.  Returns (y, caches by name)."""
    c = {}
    q, c["q"] = linear("attention.self.query", x)
    k, c["k"] = linear("attention.self.key", x)
    v, c["v"] = linear("attention.self.value", x)
    (context, _), c["attention"] = F.scaled_dot_product_attention_forward(
        split_heads(q), split_heads(k), split_heads(v), mask, p, rng
    )
    o, c["o"] = linear("attention.output.dense", merge_heads(context))
    o, c["drop 1"] = F.dropout_forward(o, p, rng)
    a, c["norm 1"] = norm("attention.output.LayerNorm", x + o)  # the first residual
    h, c["wide"] = linear("intermediate.dense", a)  # (B, S, I)
    h, c["gelu"] = F.gelu_forward(h)
    f, c["narrow"] = linear("output.dense", h)  # (B, S, H)
    f, c["drop 2"] = F.dropout_forward(f, p, rng)
    y, c["norm 2"] = norm("output.LayerNorm", a + f)  # the second residual
    return y, c


y, caches = layer_forward(hidden_states)
(expected, _), expected_cache = layer.forward(hidden_states, mask)
agree("one layer by hand and the package's BertLayer", y, expected)

# %% [markdown]
# The picture below was not drawn from memory: the layer ran, every operation in it was watched, and the rectangles are
# the arrays that came by. Height is the sequence $S$, width the last axis, both to scale. Each array exists $B$ times.

# %%
steps = record_shapes(layer, hidden_states, mask)
assert [step.output for step in steps if step.name == "intermediate.dense"] == [(*hidden_states.shape[:2], 27)]
figure = draw_layer_shapes(steps, title="One layer of tiny-random: the arrays of a real forward pass")
figure

# %% [markdown]
# ## 5. The whole layer, backward
#
# Read `layer_forward` from the last line to the first, and replace each line by its backward. Only one thing is new:
# wherever a name was used more than once, its gradients are added.
#
# - `a` was used by the feed-forward network and by the second residual: two terms.
# - `x` was used by query, key, value and the first residual: **four** terms.


# %%
def layer_backward(dy, c, forgotten=None):
    """Gradients of x and of every parameter, for a gradient of y."""
    d = {}

    def keep(name, gradients):
        dinput, d[f"{name}.weight"], d[f"{name}.bias"] = gradients
        return dinput

    # y = LN(a + f)
    df = da = keep("output.LayerNorm", F.layer_norm_backward(dy, c["norm 2"]))
    # f = drop(narrow(gelu(wide(a))))
    df = F.dropout_backward(df, c["drop 2"])
    dh = keep("output.dense", F.linear_backward(df, c["narrow"]))
    dh = F.gelu_backward(dh, c["gelu"])
    da = da + keep("intermediate.dense", F.linear_backward(dh, c["wide"]))
    # a = LN(x + o)
    do = dx = keep("attention.output.LayerNorm", F.layer_norm_backward(da, c["norm 1"]))
    # o = drop(dense(attention(x)))
    do = F.dropout_backward(do, c["drop 1"])
    dcontext = keep("attention.output.dense", F.linear_backward(do, c["o"]))
    dq, dk, dv = F.scaled_dot_product_attention_backward(split_heads(dcontext), None, c["attention"])
    for name, dhead, key in [("query", dq, "q"), ("key", dk, "k"), ("value", dv, "v")]:
        term = keep(f"attention.self.{name}", F.linear_backward(merge_heads(dhead), c[key]))
        if name != forgotten:
            dx = dx + term
    return dx, d


dy = rng.normal(size=y.shape)  # as if it came from the layers above
dx, gradients = layer_backward(dy, caches)

layer.zero_grad()
expected_dx = layer.backward(dy, None, expected_cache)
agree("gradient of the input", dx, expected_dx)
for name, parameter in layer.named_parameters():
    if name != "attention.self.key.bias":  # 0 but for rounding, see tutorial 5
        assert relative_error(gradients[name], parameter.grad) < 1e-12, name
print(f"gradients of {len(gradients)} parameters: equal, the differences are below 1e-12")
noise = np.abs(gradients["attention.self.key.bias"]).max() / np.abs(gradients["attention.self.query.bias"]).max()
assert noise < 1e-12
print("gradient of the key bias: below 1e-12 of that of the query bias, so 0")

# %% [markdown]
# To agree with the package is not yet to be right: both could share a mistake. Finite differences know neither. The
# loss is $\sum \mathrm{d}y \cdot y$, whose gradient with respect to $y$ is $\mathrm{d}y$. Each parameter is moved along
# one random direction, which checks all its entries together with two evaluations. Dropout stays on: the generator
# starts from the same seed each time, so that the same elements are dropped.

# %%
layer.train()
generator = model.rng


def run_again():
    generator.bit_generator.state = np.random.default_rng(3).bit_generator.state
    return layer.forward(hidden_states, mask)


def loss():
    return float((dy * run_again()[0][0]).sum())


(y_dropped, _), cache = run_again()
layer.zero_grad()
layer.backward(dy, None, cache)
errors = directional_errors(layer, loss, np.random.default_rng(4))
print(f"largest error over {len(errors)} parameters, with dropout: below 1e-6")
assert max(errors.values()) < 1e-6, errors

by_hand, _ = layer_forward(hidden_states, 0.1, np.random.default_rng(3))
agree("with dropout, by hand and BertLayer", by_hand, y_dropped)
assert relative_error(y_dropped, y) > 0.01  # dropout did something
layer.eval()

# %% [markdown]
# Would this check have caught us? Forget one of the four terms of `dx`, the one through the values: a mistake that no
# shape betrays.

# %%
incomplete, _ = layer_backward(dy, caches, forgotten="value")
direction = rng.normal(size=dx.shape)
h = 1e-6
(above, _), _ = layer.forward(hidden_states + h * direction, mask)
(below, _), _ = layer.forward(hidden_states - h * direction, mask)
slope = float((dy * (above - below)).sum() / (2 * h))
for name, candidate in [("all four terms", dx), ("without the values", incomplete)]:
    print(f"slope along a direction {slope:8.3f}, {name}: {(candidate * direction).sum():8.3f}")
assert abs((dx * direction).sum() - slope) < 1e-6 * abs(slope)
assert abs((incomplete * direction).sum() - slope) > 0.05 * abs(slope)

# %% [markdown]
# ## On your own
#
# 1. Set `hidden_act` aside and use ReLU in `layer_forward` and `layer_backward`. Which of the gradients of the layer
#    change most? What does the gradient of `intermediate.dense.weight` look like in rows whose unit is never on?
# 2. Turn the layer into pre-LN: `x + o(LN(x))`, `a + f(LN(a))`. Which two lines of the backward change places?
# 3. In section 3, use a standard deviation of 0.2 instead of 0.02. What happens to the three numbers, and why does the
#    norm help now?
# 4. Count the multiplications of one layer for $S$ tokens: which part is $4SH^2$, which $2SHI$, which $2S^2H$? From
#    which $S$ on does attention cost more than the feed-forward network, for $H = 768$, $I = 3072$?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `gelu_forward`, `gelu_backward`, `gelu_new_forward`, `gelu_new_backward`, `relu_forward`, `relu_backward`,
# `tanh_forward`, `tanh_backward`, `dropout_forward`, `dropout_backward`, and then `BertIntermediate.forward`,
# `BertIntermediate.backward`, `BertOutput.forward`, `BertOutput.backward`, `BertAttention.forward`,
# `BertAttention.backward`, `BertLayer.forward` and `BertLayer.backward`.
#
# ## Further reading
#
# - GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2.
# - Dropout: Srivastava et al. 2014, Journal of Machine Learning Research 15, section 4.
# - Residuals: He et al. 2015, arXiv 1512.03385, section 3.1.
# - Before or after: Xiong et al. 2020, arXiv 2002.04745, section 3, on what post-LN does to gradients.
# - In the package: `bert_numpy/nn/functional.py` (the pairs), then `bert_numpy/models/encoder.py`, whose classes
#   `BertOutput` and `BertLayer` are the two equations of section 4.
