# %% [markdown]
# # 8. The objectives: masked words and next sentence
#
# **What you will do.** Make the data that BERT is trained on, from plain sentences: pairs of segments, and masks. Write
# both losses by hand, derive their gradients, and follow them back to the table of word vectors, which takes part
# twice.
#
# **What you will learn.** What the rule 80/10/10 does, in numbers. Why masks are drawn anew in each epoch, and what
# whole words change. Why the gradient of a softmax with cross-entropy is a plain difference. What it means for the
# gradient that the decoder and the word embedding are one array.
#
# **What you need.** Tutorials 1 (text to ids), 3 (chain rule) and 7 (the assembled model). About 45 minutes to read.

# %%
import math

import numpy as np

from bert_numpy import BertConfig, BertForPreTraining, BertTokenizer
from bert_numpy.data import DataCollatorForLanguageModeling, PretrainingDataset
from bert_numpy.data.world import generate_documents
from bert_numpy.nn import functional as F
from bert_numpy.tokenization import train_wordpiece
from bert_numpy.verification import numeric_gradient, relative_error
from bert_numpy.visualization.canvas import COLORS, MARKERS, new_figure


def agree(what, actual, expected, bound=1e-12):
    """Say that two arrays are equal up to a bound, after making sure that they are."""
    difference = relative_error(np.asarray(actual), np.asarray(expected))
    assert difference < bound, f"{what}: {difference}"
    print(f"{what}: equal, the difference is below {bound:g}")


def near(what, share, expected, count):
    """Print a share that was counted, and make sure that it is what it should be, up to five standard deviations."""
    print(f"{what}: {share:.3f}, expected {expected:.3f}")
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / count)


rng = np.random.default_rng(8)

# %% [markdown]
# ## 1. Pairs of segments
#
# The text comes from the small world of this package: short documents of a few sentences. The vocabulary is learnt from
# them, and kept so small that many words fall into pieces, as rare words do in a real vocabulary.

# %%
documents = list(generate_documents(600, seed=0))
sentences = [sentence for document in documents for sentence in document]
tokenizer = BertTokenizer(train_wordpiece(sentences, vocab_size=300))
CLS, SEP, PAD, MASK = (tokenizer.convert_tokens_to_ids(token) for token in ("[CLS]", "[SEP]", "[PAD]", "[MASK]"))
V = tokenizer.vocab_size
for sentence in documents[3][:2]:
    print(sentence, "->", " ".join(tokenizer.tokenize(sentence)))

# %% [markdown]
# One example for BERT is `[CLS] A [SEP] B [SEP]`. A and B are stretches of text of one or more sentences. In half of
# the examples B is what follows A in its document (label 0, "is next"), in the other half it comes from another
# document (label 1, "random"). The segment ids tell A (0) from B (1).


# %%
def make_pair(documents, number, is_random, rng):
    """One example by hand: (ids, segments, label)."""
    document = documents[number]
    middle = int(rng.integers(1, len(document)))  # A ends here
    follows = document[middle:]
    if is_random:
        other = (number + int(rng.integers(1, len(documents)))) % len(documents)  # never the same document
        follows = documents[other][: len(follows)]
    a, b = (tokenizer.encode(" ".join(part), add_special_tokens=False) for part in (document[:middle], follows))
    return [CLS, *a, SEP, *b, SEP], [0] * (len(a) + 2) + [1] * (len(b) + 1), int(is_random)


for is_random in (False, True):
    ids, segments, label = make_pair(documents, 3, is_random, np.random.default_rng(1))
    assert len(ids) == len(segments)
    assert ids.count(SEP) == 2
    print(f"label {label}:", tokenizer.decode(ids))

# %% [markdown]
# The package does the same as ranges of one long array of ids, with everything determined by a seed. Let us see that it
# keeps its promises: where the label is 0, B starts exactly where A ended; where it is 1, B lies in another document.
# A little more than half are random: where only one sentence of a document is left, nothing follows it.

# %%
dataset = PretrainingDataset(documents, tokenizer, max_length=64, seed=0, short_seq_prob=0.0)
print(dataset)
stored = dataset.documents
bounds = stored.sentence_starts[stored.document_starts]  # where documents begin in the array of ids
a_start, a_end, b_start, b_end, label = dataset.pairs.T
document_of_a = np.searchsorted(bounds, a_start, side="right")
document_of_b = np.searchsorted(bounds, b_start, side="right")
assert (document_of_a == document_of_b)[label == 0].all()
assert (document_of_a != document_of_b)[label == 1].all()
uncut = (a_end - a_start) + (b_end - b_start) < 61  # longer pairs lose tokens at the ends
assert (a_end == b_start)[uncut & (label == 0)].all()
print(f"share of random pairs: {label.mean():.2f}")
assert 0.5 < label.mean() < 0.65

# %% [markdown]
# ## 2. Masks: 15 % of the tokens, and 80/10/10 of those
#
# Each token but the special ones is chosen with probability 0.15. The model has to find the chosen ones. What it sees
# in their place is
#
# - `[MASK]` in 80 % of the cases,
# - a random token of the vocabulary in 10 %,
# - the token itself in 10 %.
#
# The label is the original id at the chosen places, and -100 ("does not count") everywhere else.


# %%
def mask_by_hand(ids, rng, p=0.15):
    """Masked ids and labels, of the shape of `ids`."""
    special = np.isin(ids, tokenizer.all_special_ids)
    chosen = (rng.random(ids.shape) < p) & ~special
    fate = rng.random(ids.shape)  # what becomes of a chosen token
    masked = np.where(chosen & (fate < 0.8), MASK, ids)
    random = chosen & (fate >= 0.8) & (fate < 0.9)
    masked[random] = rng.integers(V, size=random.sum())
    return masked, np.where(chosen, ids, -100)


def count(ids, masked, labels):
    """Check the shares of one way to mask."""
    chosen = labels != -100
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert not np.isin(ids[chosen], tokenizer.all_special_ids).any()
    n_text, n_chosen = (~np.isin(ids, tokenizer.all_special_ids)).sum(), chosen.sum()
    near("  chosen, of all tokens of the text", n_chosen / n_text, 0.15, n_text)
    near("  [MASK], of the chosen            ", (masked[chosen] == MASK).mean(), 0.8 + 0.1 / V, n_chosen)
    near("  unchanged, of the chosen         ", (masked[chosen] == ids[chosen]).mean(), 0.1 + 0.1 / V, n_chosen)


ids = dataset.batch(range(len(dataset)), masked=False)["input_ids"]
print("by hand:")
masked, labels = mask_by_hand(ids, rng)
count(ids, masked, labels)

collator = DataCollatorForLanguageModeling(tokenizer, seed=0)
batch = collator([row[row != PAD] for row in ids])
print("DataCollatorForLanguageModeling:")
count(ids, batch["input_ids"], batch["labels"])

# %%
row = 3
places = np.flatnonzero(batch["labels"][row] != -100)
wanted, seen = (tokenizer.convert_ids_to_tokens(batch[name][row, places]) for name in ("labels", "input_ids"))
for place, right, shown in zip(places, wanted, seen, strict=True):
    print(f"place {place:2d}: to be found {right:8s} seen {shown}")

# %% [markdown]
# **Why not always [MASK]?** When BERT is used, no text holds `[MASK]`. A model that was only ever asked at `[MASK]`
# could keep all its effort for those places and pass every other token on as it is. The random and the unchanged ones
# make it doubt every token a little. How little? A token that looks like text was replaced with probability
#
# $$\frac{0.15 \cdot 0.1}{1 - 0.15 \cdot 0.8} \approx 0.017,$$
#
# up to the one random token in $V$ that happens to be the old one: few enough for the text to stay legible.

# %%
is_text = ~np.isin(ids, tokenizer.all_special_ids)
looks_like_text = is_text & (masked != MASK)
wrong = (masked != ids)[looks_like_text]
near("wrong, of the tokens that look like text", wrong.mean(), 0.15 * 0.1 / (1 - 0.15 * 0.8), wrong.size)

# %% [markdown]
# **By chance or by number.** The collator decides about each token by itself, so that the number of masks in a sequence
# varies. Google's program fixes it: $\mathrm{round}(0.15\,S)$ of the $S$ tokens, at least one. `PretrainingDataset`
# does that.

# %%
lengths = (ids != PAD).sum(axis=1)
fixed = dataset.batch(range(len(dataset)))
n_fixed = (fixed["labels"] != -100).sum(axis=1)
assert (n_fixed == np.maximum(1, np.rint(0.15 * lengths))).all()
n_chance = (batch["labels"] != -100).sum(axis=1)
long = lengths >= 50
print(f"masks in a sequence of 50 tokens or more, by number: {n_fixed[long].min()} to {n_fixed[long].max()}")
print(f"masks in a sequence of 50 tokens or more, by chance: {n_chance[long].min()} to {n_chance[long].max()}")
assert np.ptp(n_chance[long]) > np.ptp(n_fixed[long])

# %% [markdown]
# ## 3. Whole words
#
# If `##ict` is masked between `v` and `##or`, the model need not understand the sentence: it has seen how the word is
# spelt. How often does a masked piece have a neighbour of its own word that is still to be seen?


# %%
def word_numbers(ids):
    """For each place the number of its word; a word starts where there is no "##", and after a special token."""
    continues = np.array([token.startswith("##") for token in tokenizer.convert_ids_to_tokens(range(V))])
    starts = ~continues[ids]
    starts[:, 1:] |= np.isin(ids[:, :-1], tokenizer.all_special_ids)  # a text may have been cut inside a word
    return np.cumsum(starts, axis=1)


def given_away(ids, labels):
    """Share of the masked tokens whose word is only partly masked."""
    words, chosen = word_numbers(ids), labels != -100
    partly = [
        chosen[row, place] and not chosen[row][words[row] == words[row, place]].all()
        for row, place in np.argwhere(chosen)
    ]
    return np.mean(partly)


by_token = given_away(ids, labels)
print(f"masked by tokens: {by_token:.0%} of the masked tokens have a piece of their word in sight")

whole_words = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, seed=0)
rows = [tokenizer(sentence, return_offsets_mapping=True) for sentence in sentences[:500]]
batch = whole_words(rows)
plain = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows], return_tensors="np")["input_ids"]
print(f"masked by words:  {given_away(plain, batch['labels']):.0%}")
assert by_token > 0.3
assert given_away(plain, batch["labels"]) == 0

# %% [markdown]
# Nothing else about the model changes; only the choice does. In this collator, as in the reference library, all pieces
# of a chosen word become `[MASK]`; `PretrainingDataset(whole_word_mask=True)` keeps 80/10/10 for each piece, as Google
# does.

# %%
assert (batch["input_ids"][batch["labels"] != -100] == MASK).all()
google = PretrainingDataset(documents, tokenizer, max_length=64, seed=0, whole_word_mask=True)
before, after = (google.batch(range(len(google)), masked=masked) for masked in (False, True))
assert given_away(before["input_ids"], after["labels"]) == 0
of_chosen = after["input_ids"][after["labels"] != -100]
near("[MASK], of the chosen pieces", (of_chosen == MASK).mean(), 0.8 + 0.1 / V, of_chosen.size)

# %% [markdown]
# ## 4. New masks in every epoch
#
# The first BERT drew its masks once, when the data was written, ten times over. Here each epoch draws its own: a token
# that was hidden today is context tomorrow. The draw depends on (seed, epoch, number of the sequence) and nothing else,
# so that a run which was stopped goes on with the very masks that it would have had.

# %%
few = range(50)
epochs = []
for epoch in range(10):
    dataset.set_epoch(epoch)
    epochs.append(dataset.batch(few)["labels"] != -100)
dataset.set_epoch(0)
assert np.array_equal(dataset.batch(few)["labels"] != -100, epochs[0])
assert np.array_equal((dataset.batch([7])["labels"] != -100)[0], epochs[0][7, : lengths[7]])  # whatever the batch is
is_text = ~np.isin(ids[:50, : epochs[0].shape[1]], tokenizer.all_special_ids)
once, ten = (np.any(masks, axis=0)[is_text].mean() for masks in (epochs[:1], epochs))
print(f"tokens that have been asked for after one epoch: {once:.0%}, after ten: {ten:.0%}")
assert ten > 0.7

# %% [markdown]
# ## 5. The loss of masked words, and its gradient
#
# The head turns the hidden state of each place into logits $z \in \mathbb R^V$. With $y$ the right token, the loss of
# one place is the negative logarithm of the probability that softmax gives to it:
#
# $$\ell = -\log \frac{e^{z_y}}{\sum_j e^{z_j}} = \log\sum_j e^{z_j} - z_y .$$
#
# Differentiate the second form. The first term gives $e^{z_i}/\sum_j e^{z_j} = p_i$, the second $-1$ where $i = y$:
#
# $$\frac{\partial \ell}{\partial z_i} = p_i - [i = y].$$
#
# A plain difference: what the model believed, minus what was. Two things follow at once. It lies between -1 and 1,
# however wrong the model is. And it sums to 0 over the vocabulary, since both parts sum to 1.
#
# The loss of a batch is the mean over **all its masked tokens**, so each place has the factor $1/n$.


# %%
def masked_lm_loss(logits, labels):
    """(loss, dlogits) by hand."""
    live = labels != -100
    z, y = logits[live], labels[live]  # (n, V), (n,)
    z = z - z.max(axis=1, keepdims=True)  # the shift cancels in p, and exp cannot overflow
    log_total = np.log(np.exp(z).sum(axis=1))
    loss = (log_total - z[np.arange(len(y)), y]).mean()
    p = np.exp(z - log_total[:, None])
    p[np.arange(len(y)), y] -= 1
    dlogits = np.zeros_like(logits)
    dlogits[live] = p / len(y)
    return loss, dlogits


small_logits = rng.normal(size=(2, 4, 7))
small_labels = np.array([[-100, 3, -100, 0], [6, -100, -100, -100]])
loss, dlogits = masked_lm_loss(small_logits, small_labels)
package_loss, cache = F.cross_entropy_forward(small_logits, small_labels)
agree("loss, by hand and in the package", loss, package_loss)
agree("gradient, by hand and in the package", dlogits, F.cross_entropy_backward(1.0, cache))
measured = numeric_gradient(lambda: masked_lm_loss(small_logits, small_labels)[0], small_logits)
agree("gradient, by hand and by finite differences", dlogits, measured, 1e-8)
assert np.abs(dlogits.sum(axis=-1)).max() < 1e-15
assert not dlogits[small_labels == -100].any()

# %% [markdown]
# Before any training all tokens are about equally likely, and the loss is about $\ln V$. A run that starts far above
# that has a mistake, or weights that are too large.
#
# "Mean over all masked tokens" has a consequence that is easily missed. Two halves of a batch with $n_1$ and $n_2$
# masks do **not** have the mean of their losses as the loss of the whole, unless $n_1 = n_2$. Whoever splits a batch
# (to save memory, or over several processes) has to weigh by the counts: $\ell = (n_1\ell_1 + n_2\ell_2)/(n_1+n_2)$.

# %%
no_idea, _ = masked_lm_loss(np.zeros((1, 2, V)), np.array([[4, 9]]))
print(f"ln V = {math.log(V):.2f}, the loss of all logits 0: {no_idea:.2f}")
assert abs(no_idea - math.log(V)) < 1e-12
halves = [masked_lm_loss(small_logits[i : i + 1], small_labels[i : i + 1])[0] for i in range(2)]
print(f"whole: {loss:.4f}, mean of the halves: {np.mean(halves):.4f}, weighed: {(2 * halves[0] + halves[1]) / 3:.4f}")
assert abs(np.mean(halves) - loss) > 0.01
assert abs((2 * halves[0] + halves[1]) / 3 - loss) < 1e-12

nothing, _ = F.cross_entropy_forward(small_logits, np.full((2, 4), -100))
print(f"a batch without any mask: loss {nothing}")  # a mean over nothing would be NaN, and spread to every weight
assert nothing == 0

# %% [markdown]
# ## 6. The loss of next sentences
#
# The pooler takes the hidden state of `[CLS]`, and a linear layer makes two logits of it. The loss is the same function
# with two classes. For two classes it depends on the difference of the logits alone:
#
# $$\ell = \log(e^{z_0} + e^{z_1}) - z_y = \log\left(1 + e^{\,z_{1-y} - z_y}\right),$$
#
# which is logistic regression. The loss of pre-training is the sum of both means.

# %%
nsp_logits, is_next = rng.normal(size=(5, 2)), np.array([0, 1, 1, 0, 1])
margins = nsp_logits[np.arange(5), 1 - is_next] - nsp_logits[np.arange(5), is_next]
two_classes, _ = F.cross_entropy_forward(nsp_logits, is_next)
agree("two classes and logistic regression", two_classes, np.log1p(np.exp(margins)).mean())

# %% [markdown]
# Now on a model. It is small, in float64, and its gains and biases are not at the values that hide mistakes.

# %%
small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
config = BertConfig(vocab_size=V, max_position_embeddings=64, initializer_range=0.2, **small)
model = BertForPreTraining(config, dtype=np.float64, rng=1).eval()
for _, parameter in model.named_parameters():
    if parameter.data.ndim == 1:
        parameter.data += rng.normal(0, 0.1, parameter.shape)

batch = dataset.batch(range(24))
outputs, cache = model.forward(**batch, output_hidden_states=True)
mlm_loss, dlogits = masked_lm_loss(outputs.prediction_logits, batch["labels"])
nsp_loss, _ = F.cross_entropy_forward(outputs.seq_relationship_logits, batch["next_sentence_label"])
print(f"masked words {mlm_loss:.2f} + next sentence {nsp_loss:.2f} = {mlm_loss + nsp_loss:.2f}")
agree("the loss of BertForPreTraining and the sum", outputs.loss, mlm_loss + nsp_loss)

pooled, pooler_cache = model.bert.pooler.forward(outputs.hidden_states[-1])
dhidden = model.bert.pooler.backward(rng.normal(size=pooled.shape), pooler_cache)
assert dhidden[:, 0].all()
assert not dhidden[:, 1:].any()
print("of the last hidden states, next sentence moves that of [CLS] only")
model.zero_grad()

# %% [markdown]
# ## 7. The decoder is the word table
#
# The last step of the head compares a vector $h_t$ with every word vector:
#
# $$z_{tv} = h_t \cdot W_v + b_v, \qquad W \text{ of shape } (V, H),$$
#
# and $W$ is the very array that the input was looked up in. It saves $V \cdot H$ numbers (a fifth of BERT-base), and
# says that a word means the same whether it is read or predicted. The loss is now a function that uses $W$ twice,
# $L(W_\text{in}, W_\text{out})$ at $W_\text{in} = W_\text{out} = W$, and by the chain rule
#
# $$\mathrm{d}W = \frac{\partial L}{\partial W_\text{in}} + \frac{\partial L}{\partial W_\text{out}} .$$
#
# The second term is a linear layer's: $\partial L/\partial W_\text{out} = \sum_t (p_t - \mathrm{onehot}(y_t))\,
# h_t^{\mathsf T}/n$. To see both apart, let a model with two separate arrays of the same values run on the same batch.

# %%
_, cache = model.forward(**batch)
model.backward(1.0, cache)
tied = model.bert.embeddings.word_embeddings.weight.grad

apart = BertForPreTraining(config.changed(tie_word_embeddings=False), dtype=np.float64, rng=1).eval()
weights = dict(model.state_dict())
weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].copy()
weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"].copy()
apart.load_state_dict(weights)
apart_outputs, cache = apart.forward(**batch)
assert abs(apart_outputs.loss - outputs.loss) < 1e-12
apart.backward(1.0, cache)
from_lookup = apart.bert.embeddings.word_embeddings.weight.grad
from_decoder = apart.cls.predictions.decoder.weight.grad
agree("the tied gradient and the sum of both", tied, from_lookup + from_decoder)

h = model.cls.predictions.transform(outputs.hidden_states[-1])  # (B, S, H): what the decoder is given
by_hand = dlogits.reshape(-1, V).T @ h.reshape(-1, h.shape[-1])
agree("the decoder's part, by hand", from_decoder, by_hand)

# %% [markdown]
# The two parts could hardly be more different.
#
# - The **look-up** reaches only the rows of tokens that were seen. The rows of `[CLS]` and
#   `[MASK]`, which stand in every sequence, gather the most.
# - The **decoder** reaches **every** row, seen or not: row $v$ gets $\sum_t p_t(v)\,h_t$, minus $h_t$ wherever $v$ was
#   the answer. The first pushes $W_v$ away from all the $h_t$ that took $v$ for possible, the second pulls it towards
#   the $h_t$ that it belongs to.
# - All rows of the decoder's part add up to nothing, since each row of `dlogits` sums to 0: what one word wins, the
#   others lose.
# - The row of `[PAD]` gets nothing from the look-up, by a rule of its own, but does from the decoder.

# %%
occurring = np.unique(batch["input_ids"][batch["attention_mask"] == 1])
answers = np.unique(batch["labels"][batch["labels"] != -100])
sizes = {"look-up": np.linalg.norm(from_lookup, axis=1), "decoder": np.linalg.norm(from_decoder, axis=1)}
reached = {name: np.count_nonzero(size) for name, size in sizes.items()}
print(f"rows with a gradient: look-up {reached['look-up']}, decoder {reached['decoder']}, of {V}")
assert np.array_equal(np.flatnonzero(sizes["look-up"]), occurring)
assert sizes["decoder"].all()
largest = np.argsort(-sizes["look-up"])[:2].tolist()
print("largest rows of the look-up:", *tokenizer.convert_ids_to_tokens(largest))
assert set(largest) == {CLS, MASK}
assert np.abs(from_decoder.sum(axis=0)).max() < 1e-14
assert sizes["look-up"][PAD] == 0
assert sizes["decoder"][PAD] > 0
is_answer = np.isin(np.arange(V), answers)
ratio = sizes["decoder"][is_answer].mean() / sizes["decoder"][~is_answer].mean()
print(f"decoder: rows of answers are {ratio:.0f} times as large as the others, on average")
assert ratio > 2

# %%
kinds = np.where(is_answer, 0, np.where(np.isin(np.arange(V), occurring), 1, 2))  # of rows
order = np.lexsort((-sizes["decoder"], kinds))  # by kind, then by size
figure = new_figure(4.2)
axes = figure.add_subplot()
for i, (name, size) in enumerate(sizes.items()):
    style = {"s": 14, "color": COLORS[i], "marker": MARKERS[i], "alpha": 0.8}
    axes.scatter(np.arange(V)[size[order] > 0], size[order][size[order] > 0], label=f"through the {name}", **style)
edges = [0, *np.cumsum(np.bincount(kinds))]
for i, kind in enumerate(("answers", "seen, no answer", "neither seen nor answer")):
    axes.text((edges[i] + edges[i + 1]) / 2, 2.2, kind, ha="center", fontsize=10)
    axes.axvline(edges[i + 1] - 0.5, color="#d0d7de", zorder=0)
for row in largest:
    place = float(np.flatnonzero(order == row)[0]) + 4, sizes["look-up"][row]
    axes.text(*place, tokenizer.convert_ids_to_tokens(row), va="top", fontsize=10, color=COLORS[0])
axes.set(yscale="log", ylim=(5e-4, 4), xlabel="rows of the word table, sorted", ylabel="norm of the row's gradient")
axes.set_title("One batch: what each row of the word table is told")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(loc="upper left", bbox_to_anchor=(0, 0.93), frameon=False)
figure

# %% [markdown]
# What does a step against the decoder's part do? The right tokens become likelier, and the rows of all words that were
# no answer move away from the vectors that asked.


# %%
def logits_with(W):
    return h @ W.T + weights["cls.predictions.bias"]


W = weights["bert.embeddings.word_embeddings.weight"]
moved = W - 0.5 * from_decoder
live = batch["labels"] != -100
before, after = (masked_lm_loss(logits_with(table), batch["labels"])[0] for table in (W, moved))
agree("logits by hand", logits_with(W), outputs.prediction_logits)
print(f"loss before {before:.3f}, after {after:.3f}")
assert after < before
change = (logits_with(moved) - logits_with(W))[live][:, ~is_answer].mean()
print(f"mean change of the logits of all other words: {'down' if change < 0 else 'up'}")
assert change < 0

# %% [markdown]
# ## On your own
#
# 1. Set the share of random tokens to 0.5 in `mask_by_hand`. How likely is it now that a token which looks like text is
#    wrong? Work it out first, then let the cell of section 2 check you.
# 2. `rng.integers(V, ...)` can draw `[PAD]` or `[CLS]` as a random token. Does the package's collator, too? Does it
#    matter?
# 3. Write the loss with label smoothing: the target is $1-\epsilon$ at $y$ and $\epsilon/V$ everywhere. Derive
#    `dlogits` and check it with `numeric_gradient`.
# 4. Make all 24 sequences of section 7 have the same label for next sentence, and watch `seq_relationship.bias.grad`.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `start_of_word`, `choose_words`, `DataCollatorForLanguageModeling.mask_tokens`, `cross_entropy_forward`,
# `cross_entropy_backward`, `mse_loss_forward`, `mse_loss_backward`, `BertPredictionHeadTransform.forward`,
# `BertPredictionHeadTransform.backward`, `BertLMPredictionHead.forward` and `BertLMPredictionHead.backward`.
#
# ## Further reading
#
# - BERT: Devlin et al. 2018, arXiv 1810.04805, section 3.1 (both tasks), appendices A.1 and C.2 (what 80/10/10 is
#   worth).
# - New masks each time, and whether next sentence helps: Liu et al. 2019 (RoBERTa), arXiv 1907.11692, sections 4.1 and
#   4.2.
# - One table for both ends: Press and Wolf 2016, arXiv 1608.05859, section 3.
# - What the push on all rows does in the long run: Gao et al. 2019, arXiv 1907.12009, section 4.
# - In the package: `bert_numpy/data/google_pretraining.py`, `masking.py`, `pretraining.py`; then
#   `bert_numpy/models/pretraining_heads.py`.
