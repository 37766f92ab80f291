# %% [markdown]
# # 2. Embeddings
#
# Tutorial 1 ended with rows of integers. A network cannot compute with a *number of a token*: token 40 is not twice
# token 20. So each token is given a vector, a row of a table, and the table is learned like every other weight. This
# first step of BERT is called the embedding.
#
# **What you will do.** Look vectors up in a table, forward and backward. Add the three tables of BERT and compare your
# sum with the package. Take the positions away from a trained model and see what it then cannot know. Draw the learned
# positions beside the sinusoids that many articles show.
#
# **What you will learn.** That a look-up is a matrix product; why its gradient *adds* rows; why adding three vectors
# loses so little; what BERT knows of order, and from where.
#
# **What you need.** Tutorial 1. About 20 minutes.

# %%
import numpy as np

from bert_numpy import BertForPreTraining, BertTokenizer
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
# The letters of the axes, here and everywhere in the package: `B` sequences in the batch, `S` tokens in a sequence, `H`
# numbers in a vector (the hidden size), `V` tokens in the vocabulary.
#
# ## 1. A table
#
# The table $W$ has $V$ rows of $H$ numbers. The vector of a token is the row of its id:
#
# $$
# y_{bs} = W_{\mathrm{ids}_{bs}}
# $$
#
# NumPy does that in one expression.

# %%
B, S, H, V = 2, 3, 4, 7
weight = rng.standard_normal((V, H))
ids = np.array([[5, 1, 5], [0, 5, 2]])
y = weight[ids]
print("ids", ids.shape, "-> vectors", y.shape)
assert np.array_equal(y[0, 2], weight[5])

# %% [markdown]
# It does not look like linear algebra, but it is. Write each id as a row of $V$ zeros with a single 1, the *one-hot*
# vector $o$. Then the look-up is a matrix product:
#
# $$
# y = o\, W, \qquad o_{bsv} = \begin{cases} 1 & v = \mathrm{ids}_{bs} \\ 0 & \text{otherwise} \end{cases}
# $$
#
# Nobody computes it that way, because $V - 1$ of $V$ products are with 0. But it tells us two things at once: an
# embedding is a linear layer, and its gradient is that of a linear layer.

# %%
one_hot = np.eye(V)[ids]  # (B, S, V)
assert np.array_equal(one_hot @ weight, y)
print("one-hot times table = the rows looked up")

# %% [markdown]
# ## 2. The gradient of a look-up
#
# Let the loss be $L$, and write `dfoo` for $\partial L / \partial\,\mathrm{foo}$: an array of the shape of `foo` that
# says how fast the loss grows when an entry of `foo` does. (Tutorial 3 has the whole story.) Given `dy`, what is
# `dweight`?
#
# Row $v$ of the table was used at each place where the id is $v$. Changing it changes $y$ at all these places, and
# effects on the loss add:
#
# $$
# \frac{\partial L}{\partial W_{vh}}
# = \sum_{b,s} \frac{\partial L}{\partial y_{bsh}} \frac{\partial y_{bsh}}{\partial W_{vh}}
# = \sum_{b,s} o_{bsv}\; \mathrm{d}y_{bsh}
# $$
#
# In words: each row of the table *gathers* the gradients of all places where its id stood. Rows whose id did not occur
# get 0.

# %%
dy = rng.standard_normal((B, S, H))
dweight = np.einsum("bsv,bsh->vh", one_hot, dy)  # the formula, letter by letter
print("rows with a gradient:", np.flatnonzero(dweight.any(axis=1)), " ids:", np.unique(ids))

# %% [markdown]
# Is it right? Measure it: move one entry of the table a little, and see how much the loss moves. A loss whose gradient
# with respect to $y$ is `dy` is simply $L = \sum y \cdot \mathrm{d}y$. `numeric_gradient` does the measuring for all
# entries:

# %%
numeric = numeric_gradient(lambda: float((weight[ids] * dy).sum()), weight)
agree("dweight", dweight, numeric, 1e-8)

# %% [markdown]
# ### The mistake that everybody makes once
#
# `dweight[ids] += dy` reads like "add dy to these rows". It is not. NumPy reads the rows, adds, and writes them back;
# of several equal ids only the *last* write survives. Token 5 occurs three times here, and two of its gradients are
# lost:

# %%
wrong = np.zeros_like(weight)
wrong[ids] += dy
right = np.zeros_like(weight)
np.add.at(right, ids, dy)  # adds one after the other
print("`+=`:      wrong rows", np.flatnonzero(np.abs(wrong - numeric).max(axis=1) > 1e-6))
print("`np.add.at`: wrong rows", np.flatnonzero(np.abs(right - numeric).max(axis=1) > 1e-6))
assert relative_error(wrong, numeric) > 0.1
agree("np.add.at", right, dweight, 1e-12)

# %% [markdown]
# The package's pair is `F.embedding_forward` and `F.embedding_backward` in `bert_numpy/nn/functional.py`. Backward
# sorts the places by id and adds each run of equal ids, which gives the same sums and is many times faster than
# `np.add.at`. It also knows one exception, as the reference library does: the row of `[PAD]` may take part in forward
# and yet stay without gradient.

# %%
y_package, cache = F.embedding_forward(ids, weight, padding_idx=0)
dweight_package = F.embedding_backward(dy, cache)
assert np.array_equal(y_package, y)
agree("rows 1 to V-1", dweight_package[1:], dweight[1:], 1e-12)
print("row 0, [PAD]:", dweight_package[0])
assert not dweight_package[0].any()

# %% [markdown]
# ## 3. Three tables
#
# BERT looks up three vectors for each token and adds them:
#
# $$
# x_{bs} = W^{\mathrm{word}}_{\mathrm{id}_{bs}} + W^{\mathrm{position}}_{s} + W^{\mathrm{segment}}_{\mathrm{type}_{bs}}
# $$
#
# * **word**: $V$ rows, one for each token of the vocabulary;
# * **position**: 512 rows in the published models, one for each place in a sequence;
# * **segment**: 2 rows, for the first and the second text.
#
# Then the sum is normalized (LayerNorm, tutorial 4) and, in training, thinned out (dropout, tutorial 6). Here it is for
# the small BERT that comes with the package, by hand and by its own class:

# %%
tokenizer = BertTokenizer.from_pretrained("small-world")
model = BertForPreTraining.from_pretrained("small-world").astype(np.float64).eval()
embeddings = model.bert.embeddings
word, position, segment = (
    embeddings.word_embeddings.weight.data,
    embeddings.position_embeddings.weight.data,
    embeddings.token_type_embeddings.weight.data,
)
print("word", word.shape, " position", position.shape, " segment", segment.shape)

pairs = [("the dog is hungry .", "anna feeds the dog ."), ("ben runs .", "he is fast .")]
batch = tokenizer(pairs, padding=True)
ids, types = np.array(batch["input_ids"]), np.array(batch["token_type_ids"])
B, S = ids.shape
summed = word[ids] + position[:S] + segment[types]  # (B, S, H)

norm = embeddings.LayerNorm
by_hand = F.layer_norm_forward(summed, norm.weight.data, norm.bias.data, norm.eps)[0]
by_package = embeddings(ids, types, np.arange(S)[np.newaxis])
agree("embeddings of a batch of shape (B, S, H) = " + str(summed.shape), by_hand, by_package, 1e-12)

# %% [markdown]
# ### Why add, and not put side by side?
#
# Adding seems to mix things up: from a sum of three numbers nobody can tell the terms. But vectors of $H$ numbers have
# room. Put the three one-hot vectors side by side and the three tables below each other; then the sum is *one* look-up
# with *one* table:
#
# $$
# x = \begin{bmatrix} o^{\mathrm{word}} & o^{\mathrm{position}} & o^{\mathrm{segment}} \end{bmatrix}
# \begin{bmatrix} W^{\mathrm{word}} \\ W^{\mathrm{position}} \\ W^{\mathrm{segment}} \end{bmatrix}
# $$
#
# So side by side is what we do, followed by a learned linear map to $H$ numbers. What the model needs to tell apart, it
# can learn to write in different directions.

# %%
place = np.tile(np.arange(S), (B, 1))
one_hots = [np.eye(len(word))[ids], np.eye(len(position))[place], np.eye(len(segment))[types]]
beside = np.concatenate(one_hots, axis=-1)
below = np.concatenate([word, position, segment])
agree("one product of shapes " + f"{beside.shape} and {below.shape}", beside @ below, summed, 1e-12)

# %% [markdown]
# Is anything lost? Ask, for each token of the batch, which row of the word table is most similar to the *sum* (by the
# cosine of the angle between the two), and which row of the position table:


# %%
def cosine(a, b):
    """Cosines of the angles between the rows of a and the rows of b."""
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ b.T


rows = summed[0]
words_found = int((cosine(rows, word).argmax(axis=-1) == ids[0]).sum())
positions_found = int((cosine(rows, position).argmax(axis=-1) == np.arange(S)).sum())
print(f"of {S} tokens: {words_found} words and {positions_found} positions can be read from the sum")
assert words_found == positions_found == S

# %% [markdown]
# All of them. In 128 dimensions there is room for words and positions to lie nearly at right angles to each other.
#
# ### Backward through the sum
#
# A sum hands its gradient to each of its terms, unchanged: $\partial x / \partial W^{\mathrm{word}}$ does not care what
# is added. Then each look-up gathers as in section 2. One row of positions serves all sequences of the batch, so its
# gradient is a sum over $b$:
#
# $$
# \mathrm{d}W^{\mathrm{position}}_{s} = \sum_{b} \mathrm{d}x_{bs}
# $$

# %%
y, cache = embeddings.forward(ids, types, np.arange(S)[np.newaxis])
dy = rng.standard_normal(y.shape)
model.zero_grad()
embeddings.backward(dy, cache)

norm_cache = F.layer_norm_forward(summed, norm.weight.data, norm.bias.data, norm.eps)[1]
dsum = F.layer_norm_backward(dy, norm_cache)[0]  # tutorial 4 derives this line
dword, dposition, dsegment = np.zeros_like(word), np.zeros_like(position), np.zeros_like(segment)
np.add.at(dword, ids, dsum)
dword[tokenizer.pad_token_id] = 0
dposition[:S] = dsum.sum(axis=0)
np.add.at(dsegment, types, dsum)

agree("dword", embeddings.word_embeddings.weight.grad, dword, 1e-12)
agree("dposition", embeddings.position_embeddings.weight.grad, dposition, 1e-12)
agree("dsegment", embeddings.token_type_embeddings.weight.grad, dsegment, 1e-12)

# %% [markdown]
# ## 4. Without positions there is no order
#
# Everything after the embeddings treats the tokens of a sequence as a *set*: attention (tutorial 5) is a sum over
# tokens, and all other layers work on each token alone. If the tokens are shuffled, the outputs are shuffled, and that
# is all. Only the position vectors tell the model what comes first. We can see that in the trained model, by setting
# its position table to zero:

# %%
without = BertForPreTraining.from_pretrained("small-world").astype(np.float64).eval()
without.bert.embeddings.position_embeddings.weight.data[...] = 0

sentence = tokenizer("the dog is bigger than the mouse .", return_tensors="np")["input_ids"]
shuffle = rng.permutation(sentence.shape[1])
for name, some_model in [("with positions", model), ("without", without)]:
    straight = some_model.bert(sentence).last_hidden_state[:, shuffle]
    shuffled = some_model.bert(sentence[:, shuffle]).last_hidden_state
    same = relative_error(shuffled, straight) < 1e-10
    print(f"{name:14} shuffling the input {'only shuffles' if same else 'changes'} the output")
    assert same == (some_model is without)

# %% [markdown]
# And it matters. Let both guess a masked word (tutorial 8 explains how):

# %%
for text in ["the capital of france is [MASK] .", "tom gives ben the ball . now [MASK] has the ball ."]:
    question = tokenizer(text, return_tensors="np")
    place = int(np.flatnonzero(question["input_ids"][0] == tokenizer.mask_token_id)[0])
    print(text)
    for name, some_model in [("with positions", model), ("without", without)]:
        best = np.argsort(-some_model(**question).prediction_logits[0, place])[:3]
        print(f"    {name:14}", tokenizer.convert_ids_to_tokens(best.tolist()))

# %% [markdown]
# The one without still knows that the text is about France. It does not know that a word is missing behind *is*, rather
# than anywhere.
#
# ## 5. Sinusoids beside them
#
# Many articles explain BERT with a formula for positions. The formula is from the Transformer of 2017:
#
# $$
# P_{s,\,2i} = \sin(\omega_i s), \qquad P_{s,\,2i+1} = \cos(\omega_i s), \qquad \omega_i = 10000^{-2i/H}
# $$
#
# **BERT does not use it.** Its positions are a table of weights, drawn at random and learned. (You have just set them
# to zero; there is nothing else in the model that knows $s$.) Still, the formula is worth understanding, since it shows
# what good positions could look like.


# %%
def sinusoids(S, H):
    """The positions of the Transformer of 2017, of shape (S, H)."""
    omega = 10000.0 ** (-np.arange(0, H, 2) / H)
    angles = np.arange(S)[:, np.newaxis] * omega
    table = np.empty((S, H))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return table


table = sinusoids(*position.shape)

# %% [markdown]
# Its two beautiful properties follow from the addition theorem $\cos(a - b) = \cos a \cos b + \sin a \sin b$.
#
# *The product of two positions depends on their distance only*, because each pair of a sine and a cosine contributes
#
# $$
# \sin(\omega_i s) \sin(\omega_i t) + \cos(\omega_i s) \cos(\omega_i t) = \cos(\omega_i (s - t))
# $$
#
# *A step of $k$ positions is a rotation* of each such pair by the angle $\omega_i k$, the same wherever it starts. So
# one matrix moves every position by $k$, which is a thing that a linear layer can learn.

# %%
products = table @ table.T
for k in (0, 1, 10):
    along = np.diagonal(products, k)  # all pairs at distance k
    by_formula = np.cos(10000.0 ** (-np.arange(0, 128, 2) / 128) * k).sum()
    expected = np.full_like(along, by_formula)
    agree(f"all products at distance {k:2} are {by_formula:5.1f}", along, expected, 1e-12)

k, omega = 5, 10000.0 ** (-np.arange(0, 128, 2) / 128)
step = np.zeros((128, 128))
for i, angle in enumerate(omega * k):  # (sin, cos) -> (sin cos k + cos sin k, cos cos k - sin sin k)
    c, s = np.cos(angle), np.sin(angle)
    step[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[c, s], [-s, c]]
agree("one matrix moves every position by 5", table[:-k] @ step.T, table[k:], 1e-12)

# %% [markdown]
# What did the small BERT learn, whom nobody told any formula? Let us draw the cosines between all pairs of positions,
# for both tables:

# %%
figure = new_figure(4.0)
panels = figure.subplots(1, 2)
for axes, rows in zip(panels, [position, table], strict=True):
    image = axes.imshow(cosine(rows, rows), cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    axes.set(xlabel="position", ylabel="position")
panels[0].set_title("learned (BERT)")
panels[1].set_title("sinusoids (Transformer of 2017)")
figure.colorbar(image, ax=panels, shrink=0.8, label="cosine")
figure

# %%
learned = cosine(position, position)[1:80, 1:80]
near = [float(np.diagonal(learned, k).mean()) for k in (1, 3, 5)]
print("mean cosine of learned positions at distance 1, 3, 5:", [f"{value:.2f}" for value in near])
assert near[0] > near[1] > near[2]
first = cosine(position[:1], position[1:80])
print(f"the first position, of [CLS], has a mean cosine of {first.mean():.2f} to the others")
assert abs(first.mean()) < 0.1

lengths = np.linalg.norm(position, axis=1)
print(f"mean length of rows 40 to 79: {lengths[40:80].mean():.2f}")
print(f"mean length of the last eight: {lengths[-8:].mean():.2f}")
assert lengths[-8:].mean() < 0.6 * lengths[40:80].mean()

# %% [markdown]
# The learned table has a blue band along its diagonal, too: neighbours have become similar, without being told so. It
# is less tidy. Position 0 stands apart, because always the same token, `[CLS]`, stood there. And the last rows are
# short: few training sequences were that long, so that these rows stayed near the small random numbers that they were
# born with.
#
# That is the price of a learned table. It has an end, and whoever passes it gets an error; a formula has none.

# %%
try:
    model.bert(np.full((1, 97), 7))
except ValueError as error:
    print(error)
else:
    raise AssertionError("97 positions in a table of 96")

# %% [markdown]
# ## 6. What the words' table knows
#
# A row is moved by the gradients of the places where its word stood. Words that stand in similar places get similar
# gradients, and end up near each other. The five nearest words, by cosine:

# %%
for name in ["monday", "red", "dog", "two", "paris", "french"]:
    similar = cosine(word[[tokenizer.convert_tokens_to_ids(name)]], word)[0]
    best = np.argsort(-similar)[1:6]
    neighbours = tokenizer.convert_ids_to_tokens(best.tolist())
    print(f"{name:7}", *(f"{n} {similar[i]:.2f} " for n, i in zip(neighbours, best, strict=True)))

# %% [markdown]
# Days, colours, animals, numbers; and *paris* is near *french* as well as near other capitals. Tutorial 12 draws a map
# of this.
#
# ## On your own
#
# 1. Change `ids` in section 1 so that no token occurs twice. Is `dweight[ids] += dy` right now? Why is a test with
#    random ids of a large vocabulary dangerous?
# 2. What is the gradient of the position table when a sequence of 13 tokens is padded to 20? Predict which rows are
#    non-zero, then look at `embeddings.position_embeddings.weight.grad`.
# 3. Set the *segment* table of a copy to zero. Do the answers of section 4 change? Find a pair of texts whose answer
#    does.
# 4. Put `sinusoids` into the model in place of the learned table. Why does it answer badly, although the sinusoids are
#    "good" positions?
# 5. Show that the rows of `sinusoids` all have the same length, and find it. Do the learned rows?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `embedding_forward`, `embedding_backward`, `BertEmbeddings.forward` and `BertEmbeddings.backward`.
#
# ## Further reading
#
# * Devlin et al. 2018, *BERT*, arXiv 1810.04805, section 3 and figure 2: the three tables.
# * Vaswani et al. 2017, *Attention is all you need*, arXiv 1706.03762, section 3.5: sinusoids, and the remark that a
#   learned table did as well.
# * In this package: `BertEmbeddings` in `bert_numpy/models/bert.py`, then tutorial 3.
