# %% [markdown]
# # 5. Attention, derived
#
# Everything so far treated each token alone. Attention is the one place in BERT where tokens exchange information: each
# token takes a weighted mean of what the others offer, and the weights are computed from the tokens themselves.
#
# **What you will do.** Write attention with scaling, mask and heads, forward and backward. Compare it with the package
# and with the weights of a trained model, and draw these.
#
# **What you will learn.** Where each factor of $\mathrm{softmax}(Q K^{\top} / \sqrt{D})\, V$ comes from, what goes
# wrong without it, and the gradient of all of it. And why BERT has biases that have never learned anything.
#
# **What you need.** Tutorials 1 to 3. About 40 minutes.

# %%
import math

import numpy as np

from bert_numpy import BertForPreTraining, BertTokenizer
from bert_numpy.nn import functional as F
from bert_numpy.verification.gradcheck import numeric_gradient, relative_error
from bert_numpy.visualization import draw_attention

rng = np.random.default_rng(0)


def agree(name, actual, expected, limit):
    """Assert that two arrays differ by less than a share of the largest value, and say so."""
    error = relative_error(actual, expected)
    assert error < limit, f"{name}: {error}"
    print(f"{name}: the difference is below {limit:g}")


# %% [markdown]
# ## 1. A weighted mean
#
# Give each of the $S$ tokens three vectors of $D$ numbers: a **query** (what am I looking for?), a **key** (what can be
# found here?) and a **value** (what do I give to those who look here?). Token $i$ compares its query with the key of
# each token $j$, by a dot product; the results are *scores*. They become *weights*, positive and adding up to 1, and
# the weights make a mean of the values:
#
# $$
# s_{ij} = \sum_d q_{id} k_{jd}, \qquad
# p_{ij} = \frac{e^{s_{ij}}}{\sum_l e^{s_{il}}}, \qquad
# c_{id} = \sum_j p_{ij} v_{jd}
# $$
#
# In matrices, with a token in each row: $C = \mathrm{softmax}(Q K^{\top})\, V$. First one token by hand, then all at
# once:

# %%
S, D = 5, 4
q, k, v = rng.standard_normal((3, S, D))

i = 2
scores = np.array([q[i] @ k[j] for j in range(S)])
weights = np.exp(scores) / np.exp(scores).sum()
context = sum(weights[j] * v[j] for j in range(S))
print("weights of token 2:", weights.round(2), " sum:", round(float(weights.sum()), 6))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


agree("all tokens at once, row 2", (softmax(q @ k.T) @ v)[i], context, 1e-12)

# %% [markdown]
# ## 2. Softmax
#
# $p_i = e^{x_i} / \sum_l e^{x_l}$ turns any numbers into weights. Add the same number $a$ to all $x$: numerator and
# denominator both get the factor $e^a$, and it cancels. Only *differences* of scores count. We just used that: the code
# subtracts the largest score first, since $e^{1000}$ is not a number that a computer can hold.

# %%
x = rng.standard_normal(6)
agree("softmax(x + 1000) against softmax(x)", softmax(x + 1000), softmax(x), 1e-10)

# %% [markdown]
# **Its derivative.** By the quotient rule, with $Z = \sum_l e^{x_l}$ and $\delta_{ij} = 1$ if $i = j$, else 0:
#
# $$
# \frac{\partial p_i}{\partial x_j}
# = \frac{\delta_{ij} e^{x_i} Z - e^{x_i} e^{x_j}}{Z^2}
# = p_i (\delta_{ij} - p_j)
# $$
#
# and with a gradient `dp` that comes in, the chain rule gives
#
# $$
# \mathrm{d}x_j = \sum_i \mathrm{d}p_i\, p_i (\delta_{ij} - p_j)
# = p_j \Big( \mathrm{d}p_j - \sum_i \mathrm{d}p_i\, p_i \Big)
# $$
#
# Add this up over $j$: since $\sum_j p_j = 1$, the sum is 0. Of course: moving all $x$ together changes nothing.
# Remember this for section 7.


# %%
def softmax_backward(dp, p):
    # dp/dx[i, j] = p[i] * (delta[i, j] - p[j])
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


dp = rng.standard_normal(6)
dx = softmax_backward(dp, softmax(x))
agree("dx", dx, numeric_gradient(lambda: float((softmax(x) * dp).sum()), x), 1e-8)
agree("the package's dx", F.softmax_backward(dp, F.softmax_forward(x)[1]), dx, 1e-12)
print("dx adds up to 0:", abs(dx.sum()) < 1e-12)
assert abs(dx.sum()) < 1e-12

# %% [markdown]
# ## 3. Why divide by √D
#
# Let the entries of a query and a key be independent, with mean 0 and variance 1. Each product $q_d k_d$ then has mean
# 0 and variance $E[q_d^2] E[k_d^2] = 1$. A score is a sum of $D$ such products, and variances of independent terms add:
# its variance is $D$, its size $\sqrt{D}$. With BERT's $D = 64$ scores of ±8 are then usual, and $e^8$ is 3000: one
# token takes most of the weight.
#
# That would be bad for learning. If one $p$ is nearly 1 and the others nearly 0, all $p_i (\delta_{ij} - p_j)$ are
# nearly 0, and no gradient gets through. Dividing the scores by $\sqrt{D}$ makes their variance 1 for any $D$. Measure
# it, for 16 keys:

# %%
print("         size of scores   largest weight    size of softmax's derivatives")
print("   D     plain    by √D    plain    by √D    plain    by √D")
sizes = {}
for D in (4, 64, 1024):
    queries, keys = rng.standard_normal((1000, 1, D)), rng.standard_normal((1000, 16, D))
    plain = (queries * keys).sum(axis=-1)  # 1000 queries, 16 scores each
    row = []
    for scores in (plain, plain / math.sqrt(D)):
        p = softmax(scores)
        derivatives = p[:, :, None] * (np.eye(16) - p[:, None, :])
        row.append((scores.std(), p.max(axis=-1).mean(), np.abs(derivatives).sum(axis=(1, 2)).mean()))
    sizes[D] = row
    print(f"{D:5} " + " ".join(f"{value:8.2f}" for both in zip(*row, strict=True) for value in both))
    assert abs(row[0][0] / math.sqrt(D) - 1) < 0.05
    assert abs(row[1][0] - 1) < 0.05

assert sizes[1024][0][2] < 0.2 * sizes[4][0][2]  # plain: the derivatives vanish as D grows
assert abs(sizes[1024][1][2] / sizes[64][1][2] - 1) < 0.05  # by √D: they do not

# %% [markdown]
# ## 4. Masks
#
# A batch is padded (tutorial 1), and nobody may look at padding. The weight of a padded $j$ has to be exactly 0, and
# the other weights have to add up to 1. So the mask works on the scores, *before* softmax: add a very negative number
# where the attention mask is 0, and $e^{\text{score}}$ becomes 0.
#
# $$
# p = \mathrm{softmax}(s + m), \qquad
# m_j = \begin{cases} 0 & \text{token} \\ \text{lowest number} & \text{padding} \end{cases}
# $$
#
# The test of a mask: a padded sequence must give, at its tokens, what the sequence alone gives.

# %%
lowest = np.finfo(np.float64).min
attention_mask = np.array([1, 1, 1, 0, 0])
added = np.where(attention_mask == 1, 0, lowest)
S, D = 5, 4
alone = softmax(q[:3] @ k[:3].T / math.sqrt(D)) @ v[:3]
before = softmax(q @ k.T / math.sqrt(D) + added) @ v
agree("masked before softmax", before[:3], alone, 1e-12)

zeroed = softmax(q @ k.T / math.sqrt(D)) * attention_mask  # after softmax: the rows do not add up to 1
print("masked after softmax, the weights add up to", zeroed[:3].sum(axis=-1).round(2))
assert relative_error((zeroed @ v)[:3], alone) > 0.1

# %% [markdown]
# Why the lowest number and not $-\infty$? If a whole row is masked, $-\infty$ gives $\infty - \infty$, which is NaN,
# and one NaN spreads to every weight of the model. With the lowest number such a row attends evenly. That means
# nothing, but it harms nobody.

# %%
print("a row that is masked throughout:", softmax(rng.standard_normal(4) + np.full(4, lowest)))
with np.errstate(invalid="ignore"):
    assert np.isnan(softmax(np.full(4, -np.inf))).all()

# %% [markdown]
# ## 5. Heads
#
# One mean for each token is little. BERT makes $A$ of them side by side, *heads*, each with $D = H/A$ numbers: the
# vector of $H$ numbers is cut into $A$ pieces, and each piece attends by itself. In code that is one reshape and one
# swap of axes:
#
# $$
# (B, S, H) \;\xrightarrow{\text{reshape}}\; (B, S, A, D) \;\xrightarrow{\text{swap}}\; (B, A, S, D)
# $$
#
# The swap is needed because matrix products act on the last two axes, and tokens must meet tokens. To go straight from
# (B, S, H) to (B, A, S, D) by reshape also *runs*. It cuts the numbers at other places, so that one "head" mixes pieces
# of several tokens.


# %%
def split_heads(x, A):
    B, S, H = x.shape
    return x.reshape(B, S, A, H // A).swapaxes(1, 2)  # (B, A, S, D)


def merge_heads(x):
    B, A, S, D = x.shape
    return x.swapaxes(1, 2).reshape(B, S, A * D)  # (B, S, H)


B, S, A, D = 2, 5, 3, 4
query, key, value = rng.standard_normal((3, B, S, A * D))
assert np.array_equal(merge_heads(split_heads(query, A)), query)

columns = [query[:, :, head * D : (head + 1) * D] for head in range(A)]  # the cut, without any reshape
assert all(np.array_equal(split_heads(query, A)[:, head], columns[head]) for head in range(A))
wrong = query.reshape(B, A, S, D)
print("the short cut gives the same heads:", np.array_equal(wrong, split_heads(query, A)))
assert not np.array_equal(wrong, split_heads(query, A))

# %% [markdown]
# ## 6. Forward and backward
#
# Now everything together, with the mask, for all heads at once:
#
# $$
# P = \mathrm{softmax}\left( \frac{Q K^{\top}}{\sqrt{D}} + m \right), \qquad C = P V
# $$
#
# Backward goes through it from the end. Write it for one head, with token indices $i$ (who looks) and $j$ (who is
# looked at). **The mean** $c_{id} = \sum_j p_{ij} v_{jd}$ is a product of two matrices. $v_{jd}$ is in the context of
# every $i$, $p_{ij}$ in every place $d$:
#
# $$
# \mathrm{d}v_{jd} = \sum_i p_{ij}\, \mathrm{d}c_{id}
# \qquad
# \mathrm{d}p_{ij} = \sum_d \mathrm{d}c_{id}\, v_{jd}
# $$
#
# **Softmax**, for each row, from section 2; the mask was added, and a constant has no part in a derivative:
#
# $$
# \mathrm{d}s_{ij} = p_{ij} \Big( \mathrm{d}p_{ij} - \sum_l \mathrm{d}p_{il}\, p_{il} \Big)
# $$
#
# **The scores** $s_{ij} = \frac{1}{\sqrt{D}} \sum_d q_{id} k_{jd}$ are again a product of two matrices:
#
# $$
# \mathrm{d}q_{id} = \frac{1}{\sqrt{D}} \sum_j \mathrm{d}s_{ij}\, k_{jd}
# \qquad
# \mathrm{d}k_{jd} = \frac{1}{\sqrt{D}} \sum_i \mathrm{d}s_{ij}\, q_{id}
# $$
#
# Each sum over $i$, of a matrix with the rows $i$, is a transposed matrix times another. Five lines:


# %%
def attention_forward(query, key, value, mask):
    scale = 1 / math.sqrt(query.shape[-1])
    probs = softmax(query @ key.swapaxes(-1, -2) * scale + mask)  # (B, A, S, S)
    return probs @ value, (query, key, value, probs)


def attention_backward(dcontext, cache):
    query, key, value, probs = cache
    scale = 1 / math.sqrt(query.shape[-1])
    # context = probs @ value
    dvalue = probs.swapaxes(-1, -2) @ dcontext
    dprobs = dcontext @ value.swapaxes(-1, -2)
    # probs = softmax(scores)
    dscores = softmax_backward(dprobs, probs)
    # scores = query @ keyᵀ * scale + mask
    dquery = dscores @ key * scale
    dkey = dscores.swapaxes(-1, -2) @ query * scale
    return dquery, dkey, dvalue


heads = [split_heads(x, A).copy() for x in (query, key, value)]
attention_mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
mask = np.where(attention_mask == 1, 0, lowest)[:, None, None, :]  # (B, 1, 1, S)
context, cache = attention_forward(*heads, mask)
dcontext = rng.standard_normal(context.shape)
gradients = attention_backward(dcontext, cache)


def loss():
    return float((attention_forward(*heads, mask)[0] * dcontext).sum())


(context_of_package, probs), cache_of_package = F.scaled_dot_product_attention_forward(*heads, mask)
of_package = F.scaled_dot_product_attention_backward(dcontext, None, cache_of_package)
agree("context: the package", context_of_package, context, 1e-12)
names = ["query", "key", "value"]
for name, array, ours, theirs in zip(names, heads, gradients, of_package, strict=True):
    agree(f"d{name}: measured", ours, numeric_gradient(loss, array), 1e-7)
    agree(f"d{name}: the package", theirs, ours, 1e-12)

# %% [markdown]
# The padding of the second sequence was never looked at. So its keys and values have no gradient, as it should be:

# %%
_, dkey, dvalue = gradients
of_padding = np.abs([dkey[1, :, 3:], dvalue[1, :, 3:]]).max()
print("gradients of padded keys and values are 0:", bool(of_padding == 0))
assert of_padding == 0

# %% [markdown]
# ## 7. Three biases
#
# Queries, keys and values come from the hidden states by three linear layers, $q = h W_q^{\top} + b_q$ and so on. What
# does each bias do? Write $\tilde{q}$ and $\tilde{k}$ for what the layers give without bias.
#
# **The key's bias does nothing.** Add $b_k$ to every key:
#
# $$
# s_{ij} = \frac{q_i \cdot (\tilde{k}_j + b_k)}{\sqrt{D}}
# = \frac{q_i \cdot \tilde{k}_j}{\sqrt{D}} + \underbrace{\frac{q_i \cdot b_k}{\sqrt{D}}}_{\text{the same for all } j}
# $$
#
# A row of scores is shifted as a whole, and softmax does not see that. What does nothing has no gradient, and the
# formulas agree: the gradient of a bias is the sum of its layer's gradients, and
#
# $$
# \mathrm{d}b_k = \sum_j \mathrm{d}k_j = \frac{1}{\sqrt{D}} \sum_i q_i \underbrace{\sum_j \mathrm{d}s_{ij}}_{0}
# $$
#
# since each row of `dscores` adds up to 0 (section 2).
#
# **The query's bias does something**: it adds $b_q \cdot k_j / \sqrt{D}$, which differs from $j$ to $j$. It is a way to
# say: this key is interesting for everybody.
#
# **The value's bias passes through**: $\sum_j p_{ij} (\tilde{v}_j + b_v) = c_i + b_v$, since the weights add up to 1.

# %%
plain, _ = attention_forward(*heads, mask)
q, k, v = heads
bias = rng.standard_normal((1, A, 1, D))  # one vector for each head
agree("a key bias changes nothing", attention_forward(q, k + bias, v, mask)[0], plain, 1e-12)
moved, _ = attention_forward(q, k, v + bias, mask)
agree("a value bias is added to the context", moved, plain + bias, 1e-12)
effect = relative_error(attention_forward(q + bias, k, v, mask)[0], plain)
print(f"a query bias changes the context by {effect:.0%}")
assert effect > 0.1

for name, gradient in zip(["query", "key", "value"], gradients, strict=True):
    dbias = gradient.sum(axis=(0, 2))  # over sequences and tokens
    is_zero = np.abs(dbias).max() < 1e-12 * np.abs(gradient).max()
    print(f"gradient of the {name} bias: {'0' if is_zero else 'not 0'}")
    assert is_zero == (name == "key")

# %% [markdown]
# So every published BERT holds, in each layer, $H$ numbers whose gradient was never anything but rounding. (In a check,
# compare such a gradient absolutely: relative to itself, rounding is always wrong.) It shows in the trained model. Its
# key biases began at 0, as the others did, and hardly left it. Put random numbers in place of them, and nothing
# happens:

# %%
tokenizer = BertTokenizer.from_pretrained("small-world")
model = BertForPreTraining.from_pretrained("small-world").astype(np.float64).eval()
batch = tokenizer("the capital of france is [MASK] .", return_tensors="np")
tokens = batch.tokens()
expected = model(**batch).prediction_logits
for number, layer in enumerate(model.bert.encoder.layer, 1):
    biases = [getattr(layer.attention.self, name).bias.data for name in names]
    largest = [float(np.abs(bias).max()) for bias in biases]
    print(f"layer {number}, largest bias:", *(f"{n} {x:.4f} " for n, x in zip(names, largest, strict=True)))
    assert largest[1] < 0.01 * largest[0]
    biases[1][...] = rng.standard_normal(biases[1].shape)  # for the rest of this tutorial, and no harm done
agree("the model with random key biases", model(**batch).prediction_logits, expected, 1e-10)

# %% [markdown]
# ## 8. In a trained model
#
# The first layer of the small BERT, from the hidden states that enter it: three linear layers, heads, attention. The
# class is `BertSelfAttention` in `bert_numpy/models/encoder.py`; with `output_attentions=True` a model hands out its
# weights.

# %%
outputs = model.bert(**batch, output_hidden_states=True, output_attentions=True)
hidden, A = outputs.hidden_states[0], model.config.num_attention_heads
module = model.bert.encoder.layer[0].attention.self
q, k, v = (
    split_heads(F.linear_forward(hidden, layer.weight.data, layer.bias.data)[0], A)
    for layer in (module.query, module.key, module.value)
)
context, (_, _, _, probs) = attention_forward(q, k, v, 0)
agree("attention weights of layer 1", probs, outputs.attentions[0], 1e-10)
agree("its output", merge_heads(context), module(hidden, None)[0], 1e-10)
assert np.allclose(probs.sum(axis=-1), 1)

# %%
of_layers = [weights[0] for weights in outputs.attentions]  # of the one sequence
figure = draw_attention(of_layers, tokens, title="Who looks at whom: 3 layers of 4 heads")
figure

# %% [markdown]
# Two kinds of heads meet the eye. Some have a dark diagonal beside the middle: each token looks at its neighbour, the
# one before it or the one behind it. They carry order, and can do so only thanks to the position vectors (tutorial 2).
# Others have dark columns: many tokens look at one that matters. What does `[MASK]` look at most, in each head?

# %%
place, country = tokens.index("[MASK]"), tokens.index("france")
for number, weights in enumerate(of_layers, 1):
    rows = weights[:, place]  # (A, S)
    favourites = (f"{tokens[row.argmax()]:8} {row.max():.2f}" for row in rows)
    print(f"layer {number}:", "   ".join(favourites))

best = np.argsort(-model(**batch).prediction_logits[0, place])[:3]
answers = tokenizer.convert_ids_to_tokens(best.tolist())
print("its guess:", answers)
assert answers[0] == "paris"
assert max(of_layers[2][:, place, country]) > 0.9
for offset, which in ((-1, "before"), (1, "behind")):
    means = np.array([[np.diagonal(head, offset).mean() for head in weights] for weights in of_layers])  # (L, A)
    layer, head = np.unravel_index(means.argmax(), means.shape)
    print(f"the token {which} has a mean weight of {means.max():.2f} in layer {layer + 1}, head {head + 1}")
    assert means.max() > 3 / len(tokens)  # evenly spread, it would be 1 / len(tokens)

# %% [markdown]
# In the last layer a head puts nearly all its weight on *france*, and the model answers *paris*. That is suggestive,
# and it is no proof: a weight says how much of a value is taken, not what is in the value, nor what the later layers
# make of it. Tutorial 12 goes on from here.
#
# ## On your own
#
# 1. Count the multiplications of $Q K^{\top}$ and $P V$ and of the four linear layers ($W_q$, $W_k$, $W_v$ and the
#    output), for $S$ tokens and width $H$. For which $S$ are the two equal? How far is that from 512, in the base size?
# 2. Make the scale wrong (leave it out) in forward *and* backward. Does the gradient check find it? Which test would?
# 3. Leave the scale out of `dkey` only. What does the check say now?
# 4. Show that a model with value biases $b_v$ computes the same as one without, if the bias of the output layer behind
#    it is changed suitably. Which other vector of BERT is superfluous in this sense?
# 5. Give `attention_forward` a mask under which token $i$ sees the tokens up to $i$ only. Which gradients of the values
#    are 0 then, if `dcontext` is 0 except at the first token?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `softmax_forward`, `softmax_backward`, `additive_mask`, `scaled_dot_product_attention_forward`,
# `scaled_dot_product_attention_backward`, and then `BertSelfAttention._split_heads`, `BertSelfAttention._merge_heads`,
# `BertSelfAttention._attend`, `BertSelfAttention.forward` and `BertSelfAttention.backward`. Much of them stands above;
# close this page before you write them.
#
# ## Further reading
#
# * Vaswani et al. 2017, *Attention is all you need*, arXiv 1706.03762, section 3.2, with the scaling in footnote 4.
# * Clark et al. 2019, *What does BERT look at?*, arXiv 1906.04341, for the maps of the published model; tutorial 12
#   draws those of ours.
# * In this package: `scaled_dot_product_attention_forward` and its backward in `bert_numpy/nn/functional.py`,
#   `BertSelfAttention` in `bert_numpy/models/encoder.py`. Then tutorial 6.
