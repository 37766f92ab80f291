# %% [markdown]
# # 10. Pre-train a BERT, and compare its loss with the best possible
#
# **What you will do.** Train a small BERT from nothing on a corpus whose every probability is known, in well under a
# minute. Compute the least loss that any model can reach on it, exactly. Then see how far the small run got, and how
# the same training goes on when it has twenty minutes.
#
# **What you will learn.** Why a loss never reaches 0 and what it can reach. That a loss is a sum of two parts, one of
# the language and one of the model. Which levels a loss passes on its way down, and what the model knows at each.
#
# **What you need.** Tutorials 8 (masked words, next sentences) and 9 (the optimizer). About 25 minutes to read.

# %%
import json
import math
from collections import Counter

import numpy as np

from bert_numpy import (
    AdamW,
    BertConfig,
    BertForPreTraining,
    BertTokenizer,
    PretrainingDataset,
    get_linear_schedule_with_warmup,
)
from bert_numpy.data.world import (
    Window,
    WindowTruth,
    evaluate_world,
    generate_documents,
    true_distribution,
    world_vocabulary,
)
from bert_numpy.data.world.tables import PLACES
from bert_numpy.hub import find_model
from bert_numpy.nn import functional as F
from bert_numpy.training import clip_grad_norm_, parameter_groups, read_log
from bert_numpy.training.replicas import Replicas
from bert_numpy.visualization.losses import draw_losses

# %% [markdown]
# ## 1. A world that can be known
#
# The corpus is generated. A **story** is a fixed sequence of sentences with slots; tables say what may fill them, such
# as countries with their capitals, and everything that must agree stands in one row. Here is one document.

# %%
documents = list(generate_documents(6000, seed=0))
for sentence in documents[5]:
    print(sentence)

# %% [markdown]
# Because we know how documents are drawn, we know the distribution of a hidden word given all the others: not an
# estimate, but a sum over every way in which the visible words can have come about. For some words nothing is left
# open, for others everything is.

# %%
for text in [
    "the capital of france is [MASK] .",
    "the [MASK] is blue .",
    "[MASK] paints the sky and the lemon .",
]:
    window = Window.of(text)
    truth = true_distribution(window, window.tokens.index("[MASK]"))
    shown = ", ".join(f"{word} {p:.3f}" for word, p in list(truth.items())[:3])
    print(f"{text:40s} {shown}{' …' if len(truth) > 3 else ''}   ({len(truth)} words)")

# %% [markdown]
# Is that so? Count. Among all sentences "the … is blue ." of the corpus, half should be about the sky, up to chance:
# four standard deviations of so many throws of a coin.

# %%
blue = Counter(
    s.split()[1] for document in documents for s in document if s in ("the sky is blue .", "the sea is blue .")
)
n, share = sum(blue.values()), blue["sky"] / sum(blue.values())
print(f"{n} sentences, {share:.2f} of them about the sky")
assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(n)  # the deviation of one throw is a half

# %% [markdown]
# ## 2. Why there is a floor
#
# Let $p$ be the true distribution of a hidden word and $q$ what a model says. If words come from $p$, the expected loss
# of the model is the **cross-entropy**. Add and subtract the same thing, and it falls into two parts:
#
# $$-\sum_w p_w \log q_w \;=\; \underbrace{-\sum_w p_w \log p_w}_{H(p),\ \text{the entropy}}
# \;+\; \underbrace{\sum_w p_w \log\frac{p_w}{q_w}}_{D(p\,\|\,q),\ \text{the divergence}}.$$
#
# The second part is never negative. Since $\log x \le x - 1$ for all $x > 0$, with equality at $x = 1$ only,
#
# $$-D(p\,\|\,q) = \sum_w p_w \log\frac{q_w}{p_w} \le \sum_w p_w\Big(\frac{q_w}{p_w} - 1\Big)
# = \sum_w q_w - \sum_w p_w \le 0.$$
#
# So no model gets below $H(p)$, on average, and only $q = p$ gets there. The entropy is a property of the language. The
# divergence is what is wrong with the model, and all that training can remove. The formula, in numbers:

# %%
rng = np.random.default_rng(10)
p, q = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8))
cross_entropy, entropy, divergence = -(p @ np.log(q)), -(p @ np.log(p)), p @ np.log(p / q)
print(f"cross-entropy {cross_entropy:.3f} = entropy {entropy:.3f} + divergence {divergence:.3f}")
assert math.isclose(cross_entropy, entropy + divergence)
assert divergence > 0

# The gradient says the same: with respect to the logits of q it is q - p (tutorial 8), which is 0 at q = p only.
logits, words = np.log(np.tile(p, (100_000, 1))), rng.choice(8, size=100_000, p=p)
_, cache = F.cross_entropy_forward(logits, words)
slope = F.cross_entropy_backward(1.0, cache).sum(axis=0)
print(f"largest gradient at q = p, over 100,000 words drawn from p: {np.abs(slope).max():.4f}")
assert np.abs(slope).max() < 5 * 0.5 / math.sqrt(100_000)

# %% [markdown]
# ## 3. The floor of pre-training
#
# Pre-training hides several words of a window at once, and asks a second question: does the second segment follow the
# first? The truth can be computed for both, with all the masks in place. We hide words as the run of `small-world` did,
# whose settings lie beside its weights, so that its log can be compared with ours.

# %%
folder = find_model("small-world")
settings = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))["settings"]
names = ("short_seq_prob", "mlm_probability", "mask_replace_prob", "random_replace_prob")
masking = {name: settings[name] for name in names}
print({name: value for name, value in masking.items() if name != "short_seq_prob"})
assert masking["random_replace_prob"] == 0  # a visible word is always the true one, which the next cell relies on

tokenizer = BertTokenizer(world_vocabulary(), model_max_length=96)
dataset = PretrainingDataset(documents, tokenizer, 96, seed=0, **masking)
held_out = PretrainingDataset(generate_documents(200, 0, "held_out"), tokenizer, 96, seed=1, **masking)
test = held_out.batch(range(200))  # documents that no model here was trained on
window = Window.from_tokens(tokenizer.convert_ids_to_tokens(test["input_ids"][4]))
print(" ".join(window.tokens))

# %% [markdown]
# The least loss that a model can expect is what the truth loses: on these 200 windows, the mean of
# $-\log p(\text{word} \mid \text{all that is visible})$ over the words that are asked for. (A part of them is asked for
# but left visible: these cost the truth nothing.)


# %%
def least_possible(batch):
    """Mean true surprisal of the masked words, and of the next-sentence labels."""
    surprisals, of_next = [], []
    for ids, labels, is_random in zip(batch["input_ids"], batch["labels"], batch["next_sentence_label"], strict=True):
        truth = WindowTruth(Window.from_tokens(tokenizer.convert_ids_to_tokens(ids)))
        for place in np.flatnonzero(labels != -100):
            hidden = ids[place] == tokenizer.mask_token_id
            word = tokenizer.convert_ids_to_tokens(int(labels[place]))
            surprisals.append(-math.log(truth.distribution(int(place))[word]) if hidden else 0.0)
        p_next = truth.next_sentence_probability()
        of_next.append(-math.log(1 - p_next if is_random else p_next))
    return float(np.mean(surprisals)), float(np.mean(of_next))


floor, floor_next = least_possible(test)
print(f"least possible loss: {floor:.3f} for a masked word, {floor_next:.3f} for the next sentence")

# %% [markdown]
# And the levels above it: what can be reached by knowing less?
#
# - **Nothing:** every one of $V$ words equally likely, and a coin for the next sentence: $\ln V + \ln 2$. A fresh model
#   starts near there, a little above it, because its random logits are not all equal.
# - **Only how frequent words are:** the entropy of the frequencies. A model that ignores its input gets there.

# %%
counts = np.bincount(dataset.documents.ids, minlength=len(tokenizer))
frequencies = counts / counts.sum()
answers = test["labels"][test["labels"] != -100]
nothing, by_frequency = math.log(len(tokenizer)), -np.log(frequencies[answers]).mean()
print(f"a masked word: knowing nothing {nothing:.2f}, the frequencies {by_frequency:.2f}, the truth {floor:.2f}")
assert floor < by_frequency < nothing

# %% [markdown]
# ## 4. The run
#
# Two layers of 64 numbers, four heads: one parameter for every 1,100 of BERT-base. The loop is the whole of
# pre-training, and each line of it but one is known from an earlier tutorial. The new one divides the work: two
# **replicas** share the weights, each computes the gradient of one half of the batch on a thread of its own, and the
# gradient is the mean.
#
# The run computes in float64, so that it prints the same digits on every machine: training magnifies rounding, in
# float32 until it shows in the second digit. `skip_padding()` makes the model leave out the positions that are padding;
# no result changes.

# %%
STEPS, BATCH = 500, 24
config = BertConfig(
    vocab_size=len(tokenizer),
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=96,
    initializer_range=0.08,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
model = BertForPreTraining(config, rng=0).astype(np.float64).skip_padding()
optimizer = AdamW(parameter_groups(model, weight_decay=0.01), lr=6e-3, betas=(0.9, 0.98), eps=1e-6)
schedule = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=20, num_training_steps=STEPS)
print(f"{model.num_parameters():,} parameters")


def forward_backward(model, batch, scale):
    outputs, cache = model.forward(**batch)
    model.backward(scale, cache)
    return float(outputs.loss)


replicas = Replicas(model, 2)
losses, batches = [], dataset.batches(BATCH)
for _ in range(STEPS):
    losses.append(replicas.forward_backward(forward_backward, next(batches)))
    clip_grad_norm_(list(model.parameters()), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
for step in (1, 100, 300, STEPS):
    print(f"step {step:4d}: loss {np.mean(losses[max(step - 50, 0) : step]):.2f}")
assert np.mean(losses[-50:]) < 0.5 * np.mean(losses[:10])

# %% [markdown]
# ## 5. Against the floor
#
# The same 200 windows, the same masks, three times: our run, `small-world`, the truth. `small-world` has been trained
# in the same way, only larger and longer: its log holds the loss of every step.

# %%
small_world = BertForPreTraining.from_pretrained("small-world")


def measure(model):
    """MLM loss and NSP loss on the test windows."""
    outputs = model.eval()(test["input_ids"], test["attention_mask"], test["token_type_ids"])
    mlm, _ = F.cross_entropy_forward(outputs.prediction_logits, test["labels"])
    nsp, _ = F.cross_entropy_forward(outputs.seq_relationship_logits, test["next_sentence_label"])
    return float(mlm), float(nsp)


ours, long_run = measure(model), measure(small_world)
print(f"{'':24s} masked word   next sentence")
for name, (mlm, nsp) in {
    "knowing nothing": (nothing, math.log(2)),
    "only the frequencies": (by_frequency, math.log(2)),
    f"ours, {STEPS} steps": ours,
    "small-world": long_run,
    "the truth": (floor, floor_next),
}.items():
    print(f"{name:24s} {mlm:11.2f}   {nsp:13.2f}")
assert floor < long_run[0] < ours[0] < by_frequency
print(
    f"of the way from the frequencies to the floor: ours {(by_frequency - ours[0]) / (by_frequency - floor):.2f}, "
    f"small-world {(by_frequency - long_run[0]) / (by_frequency - floor):.2f}"
)
assert (by_frequency - long_run[0]) / (by_frequency - floor) > 0.9

# %% [markdown]
# Now the two runs in one picture; the steps are on a logarithmic axis, because the second is so much longer. Both pass
# the level of the frequencies within a hundred steps. Then they slow down: the attention has to find something to look
# at before looking can help. Then they fall again. The long run flattens where it must, just above the floor.

# %%
long_losses = [record["loss"] for record in read_log(folder) if "loss" in record]
figure = draw_losses(
    {f"ours: {config.num_hidden_layers} layers of {config.hidden_size}": losses,
     f"small-world, from its log: {len(long_losses):,} steps": long_losses},
    {"knowing nothing": nothing + math.log(2), "only the frequencies": by_frequency + math.log(2),
     "the least possible": floor + floor_next},
    smoothing=25, logarithmic=True, title="Pre-training on the small world: masked words + next sentence",
)  # fmt: skip
figure

# %% [markdown]
# ## 6. One word at a time
#
# What the loss means for single words. `evaluate_world` hides one word at a time, which leaves less open: a word is
# **determined** if the rest of the window leaves no doubt. It reports both parts of the cross-entropy of section 2.

# %%
for name, candidate in [("ours", model), ("small-world", small_world)]:
    figures = evaluate_world(candidate, tokenizer, num_windows=25)
    print(
        f"{name:12s} entropy {figures['entropy']:.3f} + divergence {figures['divergence']:.3f};  "
        f"determined words found: {figures['determined_accuracy']:.2f}"
    )
    if name == "small-world":
        assert figures["determined_accuracy"] > 0.95
        assert figures["divergence"] < 0.2 * figures["entropy"]

# %% [markdown]
# The entropy is the same for both, as it must be: it is not theirs. And some words, beside the truth:


# %%
def probabilities_at_mask(model, text):
    batch = tokenizer(text, return_tensors="np")
    logits = model(**batch).prediction_logits[0, list(batch["input_ids"][0]).index(tokenizer.mask_token_id)]
    return F.softmax_forward(logits.astype(np.float64))[0]


def most_probable(probabilities, count=2):
    best = np.argsort(-probabilities)[:count]
    return ", ".join(f"{tokenizer.convert_ids_to_tokens(int(i))} {probabilities[i]:.2f}" for i in best)


for text in [
    "the opposite of hot is [MASK] .",
    "the capital of italy is [MASK] .",
    "today is monday and anna is at [MASK] market .",
]:
    window = Window.of(text)
    truth = true_distribution(window, window.tokens.index("[MASK]"))
    print(text)
    print(f"    truth        {', '.join(f'{word} {p:.2f}' for word, p in list(truth.items())[:2])}")
    print(f"    ours         {most_probable(probabilities_at_mask(model, text))}")
    print(f"    small-world  {most_probable(probabilities_at_mask(small_world, text))}")

capitals = tokenizer.convert_tokens_to_ids(list(PLACES.words("capital")))
capital_of_italy = probabilities_at_mask(model, "the capital of italy is [MASK] .")
print(f"ours, all {len(capitals)} capitals together: {capital_of_italy[capitals].sum():.2f}")
assert capital_of_italy[capitals].sum() > 5 * frequencies[capitals].sum()
assert most_probable(probabilities_at_mask(small_world, "the capital of italy is [MASK] .")).startswith("rome")

# %% [markdown]
# Our run knows the forms of sentences, the words around a gap, and which **kind** of word belongs there. It does not
# yet know the facts: which capital, which opposite. That is the order in which a BERT learns: frequencies, then
# neighbours and kinds, then what needs two words at a distance to be put together. Where a loss stands tells which of
# these it has; only the floor tells how much is left.
#
# Of natural language nobody knows the entropy. So nobody can say of a published BERT what we just said of this one:
# that what is left of its loss is the language, and not the model.
#
# ## On your own
#
# 1. Halve and double the learning rate. Which of the two phases, frequencies or attention, is it that gets longer?
# 2. Set `num_hidden_layers=1`. Which of the sentences of section 6 need two layers? Think first, then train.
# 3. Mask 15 % instead of 35 % (`masking["mlm_probability"]`). The floor falls: why? Is the model of `small-world` now
#    nearer to it or farther from it?
# 4. Replace `floor` by the entropy instead of the surprisal of the words that happened to be drawn: the mean of
#    $-\sum p \log p$ over the same places. By how much do the two differ, and why does the difference shrink with more
#    windows?
# 5. Do it at full size, with one command, in some twenty minutes:
#    `bert-numpy pretrain --corpus world --output my-world`.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belongs `Trainer.training_step`.
#
# ## Further reading
#
# - Devlin et al. 2018, arXiv 1810.04805, sections 3.1 and A.1 to A.2: the objectives, and the recipe at full size.
# - Cover and Thomas, Elements of Information Theory, chapter 2: entropy, divergence and the inequality of section 2.
# - Besag 1975, The Statistician 24: judging a model by each word given all others.
# - In the package: `bert_numpy/data/world/truth.py`, how the exact distribution is computed; then
#   `bert_numpy/tasks/pretraining.py`, this tutorial as one call, with checkpoints.
