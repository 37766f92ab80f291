# %% [markdown]
# # 12. Inside BERT: attention maps, probes, what [CLS] knows
#
# **What you will do.** Open the small BERT that ships here. Look at every head's attention, and cut heads out to see
# which are needed. Ask each layer, with a linear probe, what can be read off it. Find out what `[CLS]` knows, before
# and after the pooler. Draw a map of the words, and find the days of the week on a circle.
#
# **What you will learn.** How to look, and how not to be fooled by looking: every picture here comes with a control
# that could have come out the same.
#
# **What you need.** Tutorials 5 (attention) and 7 (the whole model). About 40 minutes to read.

# %%
import numpy as np

from bert_numpy import BertForPreTraining, BertTokenizer
from bert_numpy.data.world import sample_windows, tables
from bert_numpy.nn import functional as F
from bert_numpy.visualization.attention import draw_attention
from bert_numpy.visualization.embeddings import draw_embedding_map
from bert_numpy.visualization.probes import draw_probes

tokenizer = BertTokenizer.from_pretrained("small-world")
model = BertForPreTraining.from_pretrained("small-world", dtype=np.float64).eval().skip_padding()
L, A, H = model.config.num_hidden_layers, model.config.num_attention_heads, model.config.hidden_size
print(f"{L} layers, {A} heads, {H} numbers for each token")

# %% [markdown]
# ## 1. Attention maps
#
# Each head of each layer makes an $S \times S$ matrix of weights. Row $i$ says how the new vector of token $i$ is mixed
# from the values of all tokens; it sums to 1.

# %%
text = ("anna paints the sky and the lemon .", "the sky is [MASK] .")
batch = tokenizer(*text, return_tensors="np")
outputs = model(**batch, output_attentions=True)
attentions = np.stack([weights[0] for weights in outputs.attentions])  # (L, A, S, S)
tokens = batch.tokens(0)
assert attentions.shape == (L, A, len(tokens), len(tokens))
assert np.allclose(attentions.sum(axis=-1), 1)
answer = outputs.prediction_logits[0, tokens.index("[MASK]")].argmax()
print("the sky is", tokenizer.convert_ids_to_tokens(int(answer)))
figure = draw_attention(attentions, tokens, title="small-world: every head of every layer")
figure

# %% [markdown]
# One sentence is an anecdote. So let us put numbers on what the eye thinks it sees: the share of a head's attention
# that goes to a certain place, averaged over all tokens of many windows.

# %%
windows = list(sample_windows(1000, seed=12))
texts, pairs = [" ".join(window.first) for window, _ in windows], [" ".join(window.second) for window, _ in windows]
many = tokenizer(texts[:100], pairs[:100], padding=True, return_tensors="np")
weights = np.stack(model(**many, output_attentions=True).attentions)  # (L, B, A, S, S)
real = many["attention_mask"] == 1
ids, S = many["input_ids"], many["input_ids"].shape[1]
i, j = np.indices((S, S))
special = np.isin(ids, [tokenizer.cls_token_id, tokenizer.sep_token_id])
places = {  # each (B, S, S): the keys of a kind, for each query
    "itself": np.broadcast_to(i == j, (len(ids), S, S)),
    "the token before": np.broadcast_to(j == i - 1, (len(ids), S, S)),
    "the token after": np.broadcast_to(j == i + 1, (len(ids), S, S)),
    "[CLS], [SEP]": np.broadcast_to(special[:, None, :], (len(ids), S, S)),
    "the same word elsewhere": (ids[:, :, None] == ids[:, None, :]) & (i != j),
}
shares = {}
print(
    f"{'share of the attention to':26s}"
    + "".join(f"  {layer + 1}.{head + 1}" for layer in range(L) for head in range(A))
)
for name, where in places.items():
    to_place = (weights * where[None, :, None]).sum(axis=-1)  # (L, B, A, S)
    shares[name] = to_place.transpose(0, 2, 1, 3)[:, :, real].mean(axis=-1)  # (L, A)
    print(f"{name:26s}" + "".join(f" {share:4.2f}" for share in shares[name].ravel()))

by_chance = (real / real.sum(axis=1, keepdims=True))[:, 0].mean()  # if all tokens were looked at alike
neighbours = np.maximum(shares["the token before"], shares["the token after"])
print(f"the token before, if a head looked everywhere alike: {by_chance:.2f}")
assert neighbours.max() > 8 * by_chance

# %% [markdown]
# Some heads of the first layers look at a neighbour: they do what a convolution does. But what a head looks at is not
# yet what the model needs.
#
# **Cut it out.** The head's context enters the model through its $D$ columns of `attention.output.dense.weight`. With
# zeros there, the head is gone. How much does the loss rise? All windows are asked for the words at the same random
# places.

# %%
rng = np.random.default_rng(12)
hidden = real & ~special & (rng.random(ids.shape) < 0.15)
masked = {**many, "input_ids": np.where(hidden, tokenizer.mask_token_id, ids)}
labels = np.where(hidden, ids, -100)


def loss():
    return float(F.cross_entropy_forward(model(**masked).prediction_logits, labels)[0])


whole, D = loss(), H // A
rise = np.zeros((L, A))
for layer, head in np.ndindex(L, A):
    weight = model.bert.encoder.layer[layer].attention.output.dense.weight.data
    kept = weight.copy()
    weight[:, head * D : (head + 1) * D] = 0
    rise[layer, head] = loss() - whole
    weight[...] = kept
assert loss() == whole
print(f"loss of the whole model: {whole:.2f}; rise of the loss without head 1 to {A}")
for layer in range(L):
    print(f"    layer {layer + 1}: ", "  ".join(f"{value:5.2f}" for value in rise[layer]))
sharpness = weights.max(axis=-1).transpose(0, 2, 1, 3)[:, :, real].mean(axis=-1)  # (L, A)
for what, of in {"sharpest map": sharpness, "most needed": rise}.items():
    layer, head = np.unravel_index(of.argmax(), of.shape)
    print(
        f"{what:13s} head {head + 1} of layer {layer + 1}: largest weight in a row, on average, "
        f"{sharpness[layer, head]:.2f}; rise of the loss {rise[layer, head]:.2f}"
    )
assert rise.max() > 10 * max(rise.min(), 0.01)  # heads are needed very unevenly

# %% [markdown]
# Heads differ by far in how much they are needed, and a map alone does not tell which are. Note also what this
# experiment is not: two heads that can stand in for each other both look dispensable when cut out one by one.
#
# ## 2. A linear probe
#
# What does a layer *know*? Ask whether a linear function of its vectors can say it. Let $X$ hold one hidden state in
# each row, with a 1 at its end for the bias, and $Y$ the answers as one-hot rows. The probe is the $W$ that minimises
#
# $$\|XW - Y\|^2 + \lambda\|W\|^2.$$
#
# The gradient is $2X^{\mathsf T}(XW - Y) + 2\lambda W$. It is 0 where
#
# $$(X^{\mathsf T}X + \lambda I)\,W = X^{\mathsf T}Y,$$
#
# and there is one such point only, since $X^{\mathsf T}X + \lambda I$ is positive definite for $\lambda > 0$. So the
# probe needs no training loop: it is one call of `np.linalg.solve`.


# %%
def with_bias(X):
    return np.hstack([X, np.ones((len(X), 1))])


def fit(X, y, classes=2, ridge=1.0):
    X, Y = with_bias(X), np.eye(classes)[y]
    W = np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ Y)
    gradient = X.T @ (X @ W - Y) + ridge * W
    assert np.abs(gradient).max() < 1e-6 * np.abs(X.T @ Y).max()
    return W


def probe(X, y):
    """Accuracy on the second half of a probe that was fitted to the first half."""
    half = len(X) // 2
    W = fit(X[:half], y[:half])
    return float(((with_bias(X[half:]) @ W).argmax(axis=1) == y[half:]).mean())


# %% [markdown]
# **The question.** Stories speak of a person: "anna … she … her". We take the full stop at the end of the first
# segment, where a name but no second one occurred, and ask: is the person called *she* or *he*? A full stop is a full
# stop: its word vector says nothing about it. If the answer can be read there, attention has brought it there.
#
# **The control** (Hewitt and Liang 2019). A probe with $H + 1$ weights for each class can also learn by heart. So we
# ask a second question of exactly the same form: does the person belong to team 0 or team 1, where the teams are drawn
# at random, half of the names of either sex in each? Whatever a probe gets right there, it would get right about any
# nonsense. What counts is the difference.


# %%
def hidden_states_of(count):
    """The hidden states of the first windows, [CLS] and all, in portions."""
    portions = []
    for start in range(0, count, 200):
        batch = tokenizer(texts[start : start + 200], pairs[start : start + 200], padding="max_length", max_length=96,
                          return_tensors="np")  # fmt: skip
        outputs = model.bert(**batch, output_hidden_states=True)
        portions.append((np.stack(outputs.hidden_states), outputs.pooler_output, batch["attention_mask"]))
    states, pooled, masks = zip(*portions, strict=True)
    return (
        np.concatenate(states, axis=1),
        np.concatenate(pooled),
        np.concatenate(masks),
    )  # (L+1, B, S, H), (B, H), (B, S)


states, pooled, attention_mask = hidden_states_of(len(windows))
people = [row[0] for row in tables.PEOPLE.rows]
is_she = np.array([row[1] == "she" for row in tables.PEOPLE.rows]).astype(int)
team = np.zeros(len(people), int)
for sex in (0, 1):
    members = np.flatnonzero(is_she == sex)
    team[rng.permutation(members)[: len(members) // 2]] = 1

rows, stops, person = [], [], []
for row, (window, _) in enumerate(windows):
    names = set(window.first) & set(people)
    if len(names) == 1:
        rows.append(row)
        stops.append(len(window.first))  # position 0 is [CLS], so this is the last token of the first segment
        person.append(people.index(names.pop()))
        assert window.tokens[stops[-1]] == "."
at_stop, person = states[:, rows, stops], np.array(person)  # (L+1, N, H)
accuracies = {
    "she or he": [probe(X, is_she[person]) for X in at_stop],
    "control: random teams": [probe(X, team[person]) for X in at_stop],
}
for name, values in accuracies.items():
    print(f"{name:24s}", "  ".join(f"{value:.2f}" for value in values))
selectivity = np.subtract(*accuracies.values())
print(f"{'selectivity':24s}", "  ".join(f"{value:5.2f}" for value in selectivity))
noise = 0.5 / np.sqrt(len(rows) // 2)  # of an accuracy by chance: one standard deviation
assert abs(accuracies["she or he"][0] - 0.5) < 5 * noise
assert selectivity.max() > 5 * noise

# %%
figure = draw_probes(accuracies, chance=0.5, title="At the full stop: what can be read off it about the person")
figure

# %% [markdown]
# On the embeddings both are chance, as they must be. Deeper, the answer arrives at the full stop, and it is the answer
# to the question that helps to predict words (*she* or *he*), not the name itself, which would solve both.
#
# Two things a probe does not say: that the model *uses* what was found, and that what was not found is absent. It may
# be there in a form that is not linear.
#
# ## 3. What [CLS] knows
#
# `[CLS]` is one word with one vector: before the first layer, it is the same in every text. Everything that it says
# about a text it has fetched by attention. The objective that asks it is next-sentence prediction, through the pooler:
#
# $$\text{pooled} = \tanh(W_p\, h_{[\mathrm{CLS}]} + b_p), \qquad \text{logits} = W_n\, \text{pooled} + b_n.$$

# %%
assert np.ptp(states[0, :, 0], axis=0).max() == 0  # the same vector in all windows
pooler = model.bert.pooler.dense
by_hand = np.tanh(states[-1, :, 0] @ pooler.weight.data.T + pooler.bias.data)
assert np.allclose(by_hand, pooled, atol=1e-12)

follows = np.array([int(label) for _, label in windows])
mean = (states * attention_mask[..., None]).sum(axis=2) / attention_mask.sum(axis=1)[:, None]  # (L+1, B, H)
accuracies = {
    "[CLS]": [probe(X[:, 0], follows) for X in states],
    "the mean of all tokens": [probe(X, follows) for X in mean],
}
for name, values in accuracies.items():
    print(f"{name:24s}", "  ".join(f"{value:.2f}" for value in values))
head = model.cls.seq_relationship(pooled).argmax(axis=1) == 0
print(f"the model's own head, after the pooler: {(head == follows).mean():.2f}")
assert abs(accuracies["[CLS]"][0] - 0.5) < 0.1
assert accuracies["[CLS]"][-1] > 0.95
assert (head == follows).mean() > 0.97

# %% [markdown]
# Does `[CLS]` hold the text, then? Ask it for other things: the sex of the person, and whether the text is long. Before
# the pooler, and after it.

# %%
size = attention_mask.sum(axis=1)
questions = {
    "does the second follow": (np.arange(len(windows)), follows),
    "she or he": (np.array(rows), is_she[person]),
    "longer than the median": (np.arange(len(windows)), (size > np.median(size)).astype(int)),
}
print(f"{'':26s} h of [CLS]   pooled   most frequent answer")
found = {}
for name, (chosen, y) in questions.items():
    found[name] = probe(states[-1, chosen, 0], y), probe(pooled[chosen], y)
    print(f"{name:26s} {found[name][0]:10.2f}   {found[name][1]:6.2f}   {max(y.mean(), 1 - y.mean()):20.2f}")
saturated = (np.abs(pooled) > 0.99).mean()
print(f"numbers of the pooler's output beyond ±0.99: {saturated:.2f}")
assert found["does the second follow"][0] > max(found["she or he"])

# %% [markdown]
# `[CLS]` knows what it was trained to know. Other things it holds by accident, and less well. "The vector of `[CLS]`"
# is a summary of the text only for the question that somebody trained it on; tutorial 14 has more on this.
#
# ## 4. A map of words
#
# The word vectors have $H$ axes, paper has two. Which plane shows most? Centre the vectors, and look for the direction
# $v$ of length 1 along which they differ most:
#
# $$\max_{\|v\|=1} \|Xv\|^2, \ X = U \Sigma V^{\mathsf T} \Rightarrow \|Xv\|^2 = \sum_k \sigma_k^2 (V_k \cdot v)^2.$$
#
# The numbers $(V_k \cdot v)^2$ are not negative and sum to at most 1, so the sum is a mean of the $\sigma_k^2$:
# largest, at $\sigma_1^2$, for $v = V_1$. Among the directions at right angles to it, $V_2$ is best, and so on. The
# coordinates on the map are $XV_{1,2} = U_{1,2}\,\sigma_{1,2}$: two lines of NumPy.

# %%
word_vectors = model.bert.embeddings.word_embeddings.weight.data


def vectors_of(words):
    X = word_vectors[tokenizer.convert_tokens_to_ids(words)]
    return X - X.mean(axis=0)


def principal_plane(X):
    """Coordinates (N, 2), and the share of the variance that each axis holds."""
    U, scale, V = np.linalg.svd(X, full_matrices=False)
    signs = np.sign(V[np.arange(2), np.abs(V[:2]).argmax(axis=1)])  # the sign of a direction is arbitrary: fix it
    return U[:, :2] * scale[:2] * signs, scale[:2] ** 2 / (scale**2).sum()


def column(table, name, count=None):
    return list(dict.fromkeys(row[table.columns.index(name)] for row in table.rows))[:count]


kinds = {
    "day": column(tables.DAYS, "first"),
    "month": column(tables.MONTHS, "first"),
    "number": column(tables.NUMBERS, "word"),
    "name, she": [name for name, she in zip(people, is_she, strict=True) if she][:5],
    "name, he": [name for name, she in zip(people, is_she, strict=True) if not she][:5],
    "country": column(tables.PLACES, "country", 5),
    "capital": column(tables.PLACES, "capital", 5),
}
words = [word for members in kinds.values() for word in members]
groups = [kind for kind, members in kinds.items() for _ in members]
points, shares_of_axes = principal_plane(vectors_of(words))
names_of_axes = tuple(f"axis {k + 1}: {share:.0%} of the variance" for k, share in enumerate(shares_of_axes))
figure = draw_embedding_map(points, words, groups, axes_names=names_of_axes, title="Words of the small world")
figure

# %% [markdown]
# Nobody told the model what a day or a name is. Words that can stand in the same places have got similar vectors. Is it
# only the map that looks so? Ask in all $H$ dimensions: is a word's nearest neighbour of its own kind?

# %%
X = vectors_of(words)
X = X / np.linalg.norm(X, axis=1, keepdims=True)
cosines = X @ X.T - 2 * np.eye(len(X))
nearest = np.array(groups)[cosines.argmax(axis=1)]
same = (nearest == np.array(groups)).mean()
shuffled = np.array([(rng.permutation(nearest) == np.array(groups)).mean() for _ in range(200)])
print(f"nearest word is of the same kind: {same:.2f}; if neighbours were drawn at random: {shuffled.mean():.2f}")
assert same > shuffled.max()

# %% [markdown]
# ## 5. Days on a circle
#
# The days follow each other, and after Sunday comes Monday: a circle. Does the model know? If word $n$ of $N$ in a
# cycle had the vector $a\cos(2\pi fn/N) + b\sin(2\pi fn/N)$, the words would lie on an ellipse and go around it $f$
# times. Any sequence of vectors is a sum of such circles: that is the discrete Fourier transform,
#
# $$\hat X_f = \sum_n X_n\, e^{-2\pi i fn/N}, \qquad \sum_n \|X_n\|^2 = \frac1N \sum_f \|\hat X_f\|^2.$$
#
# So we can measure how much of the variance each $f$ holds. If the order meant nothing, all would hold alike. The test
# shuffles the words a thousand times, and counts how often chance makes one $f$ as strong.


# %%
def spectrum(X):
    """The share of the variance that goes around 1, 2, 3 … times."""
    N = len(X)
    energy = (np.abs(np.fft.fft(X, axis=0)) ** 2).sum(axis=1)
    assert np.isclose(energy.sum() / N, (X**2).sum())
    both = [energy[f] + (energy[N - f] if 2 * f != N else 0) for f in range(1, N // 2 + 1)]  # f and -f are one circle
    return np.array(both) / energy.sum()


surprise = {}
for kind in ("day", "month", "number"):
    X = vectors_of(kinds[kind])
    measured = spectrum(X)
    by_chance = np.array([spectrum(rng.permutation(X)).max() for _ in range(1000)])
    surprise[kind] = (by_chance >= measured.max()).mean()
    print(f"{kind:7s} strongest circle: goes around {measured.argmax() + 1} times, holds {measured.max():.2f} of the "
          f"variance; as strong by chance in {surprise[kind]:.2f} of the shuffles")  # fmt: skip
assert min(surprise["day"], surprise["month"]) < 0.05

# %% [markdown]
# And the plane of the days' circle. The real and the imaginary part of $\hat X_1$ span it; `qr` makes two directions of
# length 1 at right angles out of them.

# %%
X = vectors_of(kinds["day"])
assert spectrum(X).argmax() == 0  # the circle that goes around once
once_around = np.fft.fft(X, axis=0)[1]
plane, _ = np.linalg.qr(np.stack([once_around.real, once_around.imag], axis=1))  # (H, 2)
points = X @ plane
shares_of_axes = (points**2).sum(axis=0) / (X**2).sum()
names_of_axes = tuple(f"axis {k + 1}: {share:.0%} of the variance" for k, share in enumerate(shares_of_axes))
figure = draw_embedding_map(
    points,
    kinds["day"],
    ["day"] * len(points),
    joined=["day"],
    axes_names=names_of_axes,
    title="The days, in their order",
)
figure

# %% [markdown]
# A model that must answer "the day after … is …" does well to put the days on a circle: *one further* is then the same
# turn for all of them, a linear map. It found this by itself.
#
# ## On your own
#
# 1. Fit the probe of section 2 at the last word before the full stop instead. In which layer does the answer arrive
#    there?
# 2. Make the control harder: teams that are all of one sex. What happens to the selectivity, and why is it no control
#    any more?
# 3. Cut out two heads of section 1 at once. Is the rise the sum of the two? For which pair is it most more?
# 4. Use the rows of `model.bert.embeddings.position_embeddings` in section 5: is the position a circle, a line,
#    neither?
# 5. Run the map on the hidden states of the last layer instead of word vectors: one dot for each *place* in the texts.
#    Which words become several clouds? (Tutorial 14 does it for one word.)
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `BertSelfAttention.forward`, `BertPooler.forward` and `BertEncoder.forward`.
#
# ## Further reading
#
# - Hewitt and Liang 2019, arXiv 1909.03368: probes and control tasks.
# - Clark et al. 2019, arXiv 1906.04341, section 3: what heads of the published BERT look at.
# - Michel et al. 2019, arXiv 1905.10650: how many heads can be cut out.
# - Tenney et al. 2019, arXiv 1905.05950: which layer knows what.
# - In the package: `bert_numpy/models/bert.py`, `BertPooler`; `bert_numpy/visualization/`, the pictures of this page.
