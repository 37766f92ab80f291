# %% [markdown]
# # 14. What articles get wrong about BERT: ten claims, tested
#
# **What you will do.** Take ten sentences that stand in many articles, lectures and answers about BERT, and test each
# of them in numbers, on a model that you can hold in your hand.
#
# **What you will learn.** Ten things about BERT, each the right way round. And a habit: a claim about a model is a
# prediction about numbers, so compute them.
#
# **What you need.** Tutorials 5 to 8; for claims 6, 7 and 10, tutorial 12 helps. About 35 minutes to read.

# %%
import math
import random

import numpy as np

from bert_numpy import BertForPreTraining, BertTokenizer, PretrainingDataset
from bert_numpy.data.world import generate_documents, sample_windows
from bert_numpy.data.world.stories import STORIES
from bert_numpy.data.world.tables import PLACES
from bert_numpy.nn import functional as F
from bert_numpy.visualization.embeddings import draw_embedding_map

tokenizer = BertTokenizer.from_pretrained("small-world")
model = BertForPreTraining.from_pretrained("small-world", dtype=np.float64).eval()
bert, rng = model.bert, np.random.default_rng(14)
H, V = model.config.hidden_size, model.config.vocab_size


def encode(*texts, **settings):
    return tokenizer(*texts, return_tensors="np", padding=True, **settings)


def words_of(ids):
    return tokenizer.convert_ids_to_tokens([int(i) for i in ids])


# %% [markdown]
# ## Claim 1. "The two sentences of a pair go through two encoders"
#
# So say pictures with a box for each sentence. If it were so, the vectors of sentence A could not depend on a word of
# sentence B. Change one word of B, and look at A.

# %%
a, b, other = "anna reads the words hot and wet .", "the opposite of hot is cold .", "the opposite of tall is cold ."
one, two = (bert(**encode(a, text), output_hidden_states=True).hidden_states for text in (b, other))
of_a = slice(0, len(a.split()) + 2)  # [CLS] A [SEP]
for layer, (x, y) in enumerate(zip(one, two, strict=True)):
    print(f"layer {layer}: largest change in the vectors of A: {np.abs(x - y)[0, of_a].max():.3f}")
assert np.abs(one[0] - two[0])[0, of_a].max() == 0  # the embeddings: each token by itself
assert np.abs(one[1] - two[1])[0, of_a].max() > 0.1
encoders = {name.split(".")[1] for name, _ in model.named_parameters() if name.startswith("bert.")}
print("parts of the model:", ", ".join(sorted(encoders)))

# %% [markdown]
# **There is one encoder.** Both sentences are one sequence; from the first layer on, every token looks at all tokens of
# both. (Two encoders side by side, a *bi-encoder*, is what sentence-similarity models make of BERT later.)
#
# ## Claim 2. "The input is the sum of word, position and part-of-speech embeddings"
#
# Some articles have the part of speech, some entities or "type" in the sense of grammar. List the tables, then add them
# up by hand, and see whether anything is left.

# %%
embeddings = bert.embeddings
tables = {name: parameter.data for name, parameter in embeddings.named_parameters() if "embeddings" in name}
for name, table in tables.items():
    print(f"{name:35s} {table.shape}")
batch = encode(a, b)
ids, segments = batch["input_ids"][0], batch["token_type_ids"][0]
total = (
    tables["word_embeddings.weight"][ids]
    + tables["position_embeddings.weight"][: len(ids)]
    + tables["token_type_embeddings.weight"][segments]
)
norm = embeddings.LayerNorm
by_hand, _ = F.layer_norm_forward(total, norm.weight.data, norm.bias.data, norm.eps)
assert np.abs(by_hand - one[0][0]).max() < 1e-12
print("the three tables explain the input completely: the rest is below 1e-12")
assert set(segments) == {0, 1}

# %% [markdown]
# **Word, position, segment; nothing about grammar.** The third table has two rows: first or second text. A word has the
# same input vector whether it is a noun or a verb.
#
# ## Claim 3. "Positions are encoded by sines and cosines"
#
# Those are of the Transformer of 2017. BERT looks its positions up in a table that is learned. Put the sinusoids in its
# place, at the size of the learned vectors, and measure.


# %%
def sinusoids(positions, size):
    angles = np.arange(positions)[:, None] / 10000 ** (np.arange(0, size, 2) / size)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(positions, size)


windows = list(sample_windows(150, seed=14))
texts = [" ".join(window.first) for window, _ in windows], [" ".join(window.second) for window, _ in windows]
many = encode(*texts)
real = (many["attention_mask"] == 1) & (many["input_ids"] > 4)  # the five special tokens come first
hidden = real & (rng.random(real.shape) < 0.15)
masked = {**many, "input_ids": np.where(hidden, tokenizer.mask_token_id, many["input_ids"])}
labels = np.where(hidden, many["input_ids"], -100)


def loss():
    return float(F.cross_entropy_forward(model(**masked).prediction_logits, labels)[0])


learned = embeddings.position_embeddings.weight.data.copy()
waves = sinusoids(*learned.shape)
waves *= np.sqrt(np.square(learned).mean() / np.square(waves).mean())
with_learned = loss()
embeddings.position_embeddings.weight.data[...] = waves
with_waves = loss()
embeddings.position_embeddings.weight.data[...] = learned
print(f"loss with the learned positions {with_learned:.2f}, with sinusoids {with_waves:.2f}")
assert with_waves > 2 * with_learned

# %% [markdown]
# **The positions are learned.** Hence a hard limit, too: there is no row for position 512 of a BERT with 512 positions.
# A sinusoid would have a value there.
#
# ## Claim 4. "A softmax over the last hidden state gives the probabilities of the words"
#
# The last hidden state of a token has $H$ numbers, the vocabulary $V$ words. A softmax over the $H$ is a distribution
# over *features*, which are no words. What really stands between is a head: dense, GELU, LayerNorm, then the product
# with the word table. Let us leave out parts of it, and see how many masked words are still found.

# %%
states, answers = bert(**{k: masked[k] for k in many}).last_hidden_state[hidden], many["input_ids"][hidden]
head = model.cls.predictions
candidates = {
    "the head: dense, GELU, norm, table, bias": head(states),
    "the table alone": states @ tables["word_embeddings.weight"].T,
    "softmax over the hidden state": F.softmax_forward(states)[0],  # its best feature, taken for the id of a word
}
scores = {name: float((values.argmax(axis=-1) == answers).mean()) for name, values in candidates.items()}
for name, score in scores.items():
    print(f"{name:42s} {candidates[name].shape[1]:4d} numbers, found {score:.2f}")
assert scores["the head: dense, GELU, norm, table, bias"] > 0.7
assert scores["softmax over the hidden state"] < 0.1

# %% [markdown]
# **Softmax belongs behind the head** (and inside attention). Nothing in BERT takes a softmax over hidden states.
#
# ## Claim 5. "BERT can write and translate texts"
#
# BERT is an encoder: one output vector for each input token, no order of production. Given two masks, it answers both
# *at once*, each without knowing what the other one becomes. Ask for a country with its capital, and draw both words
# from what the model says.

# %%
query = encode("the capital of [MASK] is [MASK] .")
slots = np.flatnonzero(query["input_ids"][0] == tokenizer.mask_token_id)


def distribution(inputs, place):
    return F.softmax_forward(model(**inputs).prediction_logits[0, place])[0]


capital_of = {PLACES.cell(i, "country"): PLACES.cell(i, "capital") for i in range(len(PLACES))}
both = [distribution(query, place) for place in slots]
draws = np.stack([rng.choice(V, size=500, p=p) for p in both], axis=1)
together = np.mean([capital_of.get(country) == capital for country, capital in map(words_of, draws)])

one_by_one = []
for country in rng.choice(V, size=40, p=both[0]):
    filled = {**query, "input_ids": query["input_ids"].copy()}
    filled["input_ids"][0, slots[0]] = country
    pair = words_of([country, rng.choice(V, p=distribution(filled, slots[1]))])
    one_by_one.append(capital_of.get(pair[0]) == pair[1])
print(f"both masks at once: {together:.2f} of the pairs are right (by chance: {1 / len(capital_of):.2f})")
print(f"one after the other: {np.mean(one_by_one):.2f}")
assert together < 0.15
assert np.mean(one_by_one) > 0.8

# %% [markdown]
# **At once, its words do not know of each other.** One after the other it works, but at the price of a whole pass for
# each word, in a number of slots that must be known beforehand. And what it was never trained for does not work at all:
# in training, a part of the words is hidden, not all but one. For translating it lacks the other half of a
# Transformer, the decoder with its attention to the source.
#
# ## Claim 6. "The vector of [CLS] represents the sentence"
#
# If so, two halves of one story should have vectors that are near each other. Take the first two and the next two
# sentences of 224 documents. For each first half, look for the nearest of all second halves, by cosine: is it the right
# one? Beside `[CLS]`, try the pooler's output, the mean over the tokens, and counting words (the rarer the more they
# count), which needs no model at all.

# %%
generator = random.Random(14)
told = [story.tell(generator) for _ in range(16) for story in STORIES]
halves = [encode([" ".join(sentences[k : k + 2]) for sentences in told]) for k in (0, 2)]
fresh = BertForPreTraining(model.config, rng=0).astype(np.float64).eval()


def vectors(network, texts):
    outputs, mask = network(**texts), texts["attention_mask"][..., None]
    mean = (outputs.last_hidden_state * mask).sum(axis=1) / mask.sum(axis=1)
    return {"[CLS]": outputs.last_hidden_state[:, 0], "pooled": outputs.pooler_output, "mean": mean}


def found(first, second):
    """How often the nearest second half is the right one."""
    middle = (first.mean(axis=0) + second.mean(axis=0)) / 2  # what all texts have in common tells none of them apart
    first, second = (x - middle for x in (first, second))
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    return float(((first @ second.T).argmax(axis=1) == np.arange(len(first))).mean())


counts = [np.stack([np.bincount(row, minlength=V)[5:] for row in half["input_ids"]]).astype(float) for half in halves]
rarity = np.log(2 * len(told) / (1 + sum((count > 0).sum(axis=0) for count in counts)))
retrieved = {"counting words": found(*(count * rarity for count in counts))}
for name, network in {"fresh": fresh.bert, "small-world": bert}.items():
    first, second = (vectors(network, half) for half in halves)
    retrieved |= {f"{name}, {kind}": found(first[kind], second[kind]) for kind in first}
for name, value in retrieved.items():
    print(f"{name:22s} {value:.2f}")
print(f"{'by chance':22s} {1 / len(told):.3f}")
assert retrieved["small-world, [CLS]"] < min(retrieved["small-world, mean"], retrieved["counting words"])

# %% [markdown]
# **It represents what it was trained for,** here whether a second segment follows. As a vector of the sentence it is
# worse than a mean of the tokens, and than counting words. Who wants sentence vectors trains for them (Reimers and
# Gurevych 2019); all-MiniLM, which this package reads too, is made so, and takes the mean.
#
# ## Claim 7. "The attention map shows why the model answers as it does"
#
# A cause can be tested: take it away. Hide a word of a sentence, then each other word in turn, and see by how much the
# logarithm of the answer's probability falls. Where one word matters much, ask each head: is it the word at which the
# mask looks most?

# %%
agrees, sharp, by_chance = [], [], []
for sentences in [story.tell(generator) for _ in range(50) for story in STORIES]:
    sentence = sentences[int(rng.integers(len(sentences)))]
    row = np.array(tokenizer.convert_tokens_to_ids(f"[CLS] {sentence} [SEP]".split()))
    place = int(rng.integers(1, len(row) - 1))
    answer, row[place] = int(row[place]), tokenizer.mask_token_id
    others = np.array([i for i in range(1, len(row) - 1) if i != place])
    rows = np.tile(row, (len(others) + 1, 1))  # the first as it is, each other one with one more word hidden
    rows[np.arange(1, len(rows)), others] = tokenizer.mask_token_id
    outputs = model(rows, output_attentions=True)
    log_p = np.log(F.softmax_forward(outputs.prediction_logits[:, place])[0][:, answer])
    effect = log_p[0] - log_p[1:]
    if log_p[0] > math.log(0.5) and effect.max() > 1:  # the model knows the answer, and one word matters much
        looks = np.stack([weights[0][:, place, others] for weights in outputs.attentions])  # (L, A, others)
        agrees.append(looks.argmax(axis=-1) == effect.argmax())
        sharp.append(looks.max(axis=-1))
        by_chance.append(1 / len(others))
agrees, sharp = np.mean(agrees, axis=0), np.mean(sharp, axis=0)  # (L, A)
print(
    f"{len(by_chance)} cases; how often the word at which the mask looks most is the one that matters, for each head,"
)
print(f"and in brackets how much it is looked at; by chance: {np.mean(by_chance):.2f}")
for layer, (right, weight) in enumerate(zip(agrees, sharp, strict=True), start=1):
    print(f"    layer {layer}: ", "  ".join(f"{r:.2f} ({w:.2f})" for r, w in zip(right, weight, strict=True)))
most_misleading = sharp[agrees < 0.3].max()
print(f"the sharpest head that is right in less than 0.3 of the cases gives a weight of {most_misleading:.2f}")
assert most_misleading > 0.5
assert agrees.max() > 0.6 > 0.2 > agrees.min()

# %% [markdown]
# **Some heads point at the cause, others never do,** and a sharp map is no sign of it. With the map of one head, chosen
# because it looks good, everything can be shown. Taking the cause away costs one more pass, and answers the question.
#
# ## Claim 8. "15 % of the words are replaced by [MASK]"
#
# 15 % of the tokens are *chosen*. Count what becomes of them, with the settings of the paper.

# %%
dataset = PretrainingDataset(generate_documents(3000, seed=8), tokenizer, 96, seed=8)
batch = dataset.batch(range(len(dataset)))
original = dataset.batch(range(len(dataset)), masked=False)["input_ids"]
chosen, tokens = batch["labels"] != -100, int((batch["attention_mask"] == 1).sum())
now = batch["input_ids"]
fates = {
    "chosen": (chosen, 0.15),
    "replaced by [MASK]": (chosen & (now == tokenizer.mask_token_id), 0.15 * 0.8),
    "replaced by a random word": (chosen & (now != tokenizer.mask_token_id) & (now != original), 0.15 * 0.1),
    "left as they are": (chosen & (now == original), 0.15 * 0.1),
}
for name, (which, expected) in fates.items():
    print(f"{name:28s} {which.sum() / tokens:.3f} of all tokens (by the paper {expected:.3f})")
    assert abs(which.sum() / tokens - expected) < 0.003
assert (now == original)[~chosen].all()

# %% [markdown]
# **12 % become `[MASK]`,** 1.5 % a random word, 1.5 % stay, and all three are asked for. The reason is given in the
# paper: in use there is no `[MASK]`, so a model that only works at masks would have nothing to say about real words.
#
# ## Claim 9. "Bidirectional means: once from left to right, once from right to left"
#
# That was ELMo (2018): two networks, one for each direction, put side by side. If BERT worked so, there would be an
# order in which it reads. Shuffle the tokens, and give each its position number along.

# %%
plain = encode("anna paints the sky and the lemon .")
order = rng.permutation(plain["input_ids"].shape[1])
straight = bert(**plain).last_hidden_state[0]
shuffled = bert(plain["input_ids"][:, order], position_ids=order[None]).last_hidden_state[0]
print("order in which the tokens were given:", *words_of(plain["input_ids"][0, order]))
assert np.abs(shuffled - straight[order]).max() < 1e-10
print("largest difference after putting them back: below 1e-10")

# %% [markdown]
# There is no reading order at all: BERT is a function of a *set* of (word, position) pairs. Second test: in two
# networks side by side, what comes from the left and what comes from the right would not mix, $f(l, r) = g(l) + h(r)$,
# and the mixed difference would be 0:
#
# $$f(l', r') - f(l', r) - f(l, r') + f(l, r) = 0.$$


# %%
def logits_between(left, right):
    query = encode(f"{left} reads the words [MASK] and {right} .")
    return model(**query).prediction_logits[0, list(query["input_ids"][0]).index(tokenizer.mask_token_id)]


anna_fast, anna_slow = logits_between("anna", "fast"), logits_between("anna", "slow")
peter_fast, peter_slow = logits_between("peter", "fast"), logits_between("peter", "slow")
mixed = peter_slow - peter_fast - anna_slow + anna_fast
alone = anna_slow - anna_fast
share = np.sqrt(np.square(mixed).mean() / np.square(alone).mean())
print(f"the mixed difference is {share:.2f} of what the right side alone changes")
assert share > 0.02

# %% [markdown]
# **Every token sees both sides at once, in every layer.** That is why words must be hidden in training: a model that
# sees both sides of a word in every layer would otherwise see the word itself.
#
# ## Claim 10. "BERT gives each word a vector"
#
# It has a table with a vector for each word: its input. What comes out is a vector for each *place*. Take "the" in many
# sentences. How much of the variance of its vectors lies within this one word, compared with all words together?

# %%
states = bert(**many, output_hidden_states=True).hidden_states
places = real & (many["input_ids"] == tokenizer.convert_tokens_to_ids("the"))
for layer, state in enumerate(states):
    within, overall = state[places].var(axis=0).sum(), state[real].var(axis=0).sum()
    print(f"layer {layer}: variance of the vectors of 'the', relative to that of all tokens: {within / overall:.2f}")
assert within > 0.3 * overall

# %% [markdown]
# If "the" had one vector, all would be 0. On the embeddings only the position makes a difference, which says nothing
# about the sentence. In the last layer, "the" is many words. A map of it, each dot one place, named by the word that
# follows:

# %%
after = {
    "colour": ["red", "blue", "green", "yellow", "white", "black", "orange", "brown", "purple", "grey"],
    "place in town": [
        "market",
        "park",
        "station",
        "museum",
        "river",
        "beach",
        "bridge",
        "theatre",
        "castle",
        "harbour",
    ],
    "animal": ["dog", "cat", "horse", "cow", "bird", "duck", "goat", "mouse", "goose", "wolf"],
    "a fact": ["capital", "opposite", "day", "month"],
}
kind_of = {word: kind for kind, members in after.items() for word in members}
rows, columns = np.nonzero(places[:, :-1])
following = words_of(many["input_ids"][rows, columns + 1])
picked = [i for i, word in enumerate(following) if word in kind_of][:60]
X = states[-1][rows[picked], columns[picked]]
X = X - X.mean(axis=0)
U, scale, _ = np.linalg.svd(X, full_matrices=False)
share = scale[:2] ** 2 / (scale**2).sum()
signs = np.sign(U[np.abs(U[:, :2]).argmax(axis=0), [0, 1]])  # the sign of an axis is arbitrary: fix it
figure = draw_embedding_map(
    U[:, :2] * scale[:2] * signs,
    [following[i] for i in picked],
    [kind_of[following[i]] for i in picked],
    axes_names=(f"axis 1: {share[0]:.0%} of the variance", f"axis 2: {share[1]:.0%} of the variance"),
    title="One word, many vectors: 'the' in the last layer",
)
figure

# %% [markdown]
# **Each occurrence has its own vector,** made of the word and everything around it.
#
# ## The ten in one table
#
# | claim | what is so |
# |---|---|
# | two encoders for a pair | one encoder, one sequence |
# | part of speech in the input | word, position, segment |
# | sinusoidal positions | learned positions |
# | softmax over hidden states | a head between, softmax over the vocabulary |
# | writes and translates | answers masks, all at once |
# | [CLS] is the sentence | [CLS] is what it was trained for |
# | attention explains | some heads, some times; take the cause away and see |
# | 15 % become [MASK] | 12 %, and 3 % that are asked for without |
# | two directions | no direction: all at once |
# | a vector for each word | a vector for each place |
#
# ## On your own
#
# 1. Claim 1: is it true of the sentence-transformer way of comparing two texts? What would the test look like?
# 2. Claim 3: train the model of tutorial 10 with sinusoids that are never updated. Does it matter then?
# 3. Claim 5: fill "the capital of [MASK] is [MASK] ." from right to left. Do the probabilities of a pair come out the
#    same in both orders? Should they?
# 4. Claim 7: replace attention by gradient times input: `model.backward({"prediction_logits": …}, cache)` returns the
#    gradient of the word vectors. Is it right more often?
# 5. Find an eleventh claim, and write down what number would refute it before you compute it.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `BertEmbeddings.forward`, `BertPredictionHeadTransform.forward` and `choose_words`.
#
# ## Further reading
#
# - Devlin et al. 2018, arXiv 1810.04805, figure 2 and sections 3 and A.1: claims 1 to 5, 8 and 9 are settled there.
# - Reimers and Gurevych 2019, arXiv 1908.10084, section 4: claim 6.
# - Jain and Wallace 2019, arXiv 1902.10186, and the answer by Wiegreffe and Pinter 2019, arXiv 1908.04626: claim 7.
# - Peters et al. 2018, arXiv 1802.05365: ELMo, with which claim 9 confuses BERT. Ethayarajh 2019, arXiv 1909.00512:
#   claim 10.
# - In the package: `bert_numpy/models/bert.py` and `encoder.py`; both together are shorter than most articles.
