# %% [markdown]
# # 13. Bugs that still learn: a museum of real mistakes
#
# **What you will do.** Put ten mistakes into a working BERT, one at a time, each of which some port of BERT really had.
# Train with each of them, and watch the loss fall. Then run four checks, and see which of them notices which mistake.
#
# **What you will learn.** That a falling loss proves next to nothing, and why. What each kind of check can see, and
# what it is blind to. Why a check on a freshly initialised model is half a check.
#
# **What you need.** Tutorials 3 (gradient checks), 4 (LayerNorm), 5 (attention) and 7 (comparison with a reference).
# About 35 minutes to read.

# %%
import math
import os
import random
from contextlib import contextmanager

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: products as small as ours are not worth dividing

import numpy as np

from bert_numpy import AdamW, BertConfig, BertForPreTraining, BertTokenizer, PretrainingDataset
from bert_numpy.data.world import world_vocabulary
from bert_numpy.data.world.stories import STORIES
from bert_numpy.data.world.tables import PLACES
from bert_numpy.nn import functional as F
from bert_numpy.training import clip_grad_norm_, parameter_groups
from bert_numpy.verification import compare, directional_errors, goldens
from bert_numpy.visualization.losses import draw_checked_losses

# %% [markdown]
# ## 1. How to put a mistake into the model
#
# All layers of this package call their mathematics through one module, as `F.layer_norm_forward(…)`. So whoever assigns
# another function to that name has put it into every layer of every model. The museum does just that, and puts the
# right function back afterwards, whatever happens.


# %%
@contextmanager
def broken(functions):
    """While this lasts, the functions of `F` named here are others."""
    right = {name: getattr(F, name) for name in functions}
    try:
        for name, wrong in functions.items():
            setattr(F, name, wrong)
        yield
    finally:
        for name, function in right.items():
            setattr(F, name, function)


# %% [markdown]
# ## 2. The run
#
# One story of the small world (tutorial 10), a BERT with two layers, eighty steps. Every mistake gets exactly this
# run: the same weights at first, the same batches.

# %%
story = next(story for story in STORIES if story.name == "lesson")
generator = random.Random(13)
documents = [story.tell(generator) for _ in range(300)]
print("\n".join(documents[0]))

tokenizer = BertTokenizer(world_vocabulary())
dataset = PretrainingDataset(documents, tokenizer, 48, seed=0, short_seq_prob=1.0, random_replace_prob=0.0)
STEPS = 80
config = BertConfig(
    vocab_size=len(tokenizer),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=48,
    initializer_range=0.1,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def fresh_model():
    return BertForPreTraining(config, rng=0).astype(np.float64)


def train():
    """The loss of each step."""
    model, losses = fresh_model(), []
    optimizer = AdamW(parameter_groups(model, weight_decay=0.01), lr=1e-2, betas=(0.9, 0.98), eps=1e-6)
    batches = dataset.batches(6)
    for _ in range(STEPS):
        outputs, cache = model.forward(**next(batches))
        model.backward(1.0, cache)
        clip_grad_norm_(list(model.parameters()), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(outputs.loss))
    return losses


# %% [markdown]
# ## 3. The checks
#
# **A. The gradient check** (tutorial 3). Move every parameter along a random direction, and compare the slope of the
# loss with the gradient. It is done twice: on a *fresh* model, and on one whose every parameter is *random*, gains and
# biases too. It asks: does backward belong to forward? It does not ask whether forward is BERT.


# %%
batch = dataset.batch([0, 1, 2, 5])  # of different lengths, so it holds padding; both segments occur
assert batch["attention_mask"].min() == 0
assert batch["token_type_ids"].max() == 1
assert set(batch["next_sentence_label"]) == {0, 1}


def randomized():
    """A model in which no gain is 1, no bias 0, and no attention even."""
    model, rng = fresh_model(), np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        is_gain, size = name.endswith("LayerNorm.weight"), 0.5 if parameter.data.ndim == 1 else 0.3
        parameter.data[...] = is_gain + rng.normal(0, size, parameter.shape)
    return model


def gradient_check(model):
    """The largest error over all parameters."""
    _, cache = model.forward(**batch)
    model.zero_grad()
    model.backward(1.0, cache)
    errors = directional_errors(model, lambda: float(model(**batch).loss), np.random.default_rng(2))
    return max(errors.values())


# %% [markdown]
# **B. Padding invariance.** A text alone, and the same text in a batch with a longer one, must have the same hidden
# states. It asks whether the mask does its work.


# %%
def padding_check(model):
    """The largest difference of hidden states, in units of their size, between a padded text and the text alone."""
    short = int(batch["attention_mask"].sum(axis=1).argmin())
    n = int(batch["attention_mask"][short].sum())
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    together = model.bert(**inputs).last_hidden_state[short, :n]
    alone = model.bert(**{name: values[short : short + 1, :n] for name, values in inputs.items()}).last_hidden_state[0]
    return float(np.abs(together - alone).max() / np.sqrt(np.square(alone).mean()))


# %% [markdown]
# **C. Comparison with a reference,** forward and backward. `tiny-random` is a small BERT with random gains and biases;
# beside its weights lie outputs and gradients that another library computed from them, in float64. The measure is
# $\max|d| / \mathrm{RMS}$: the largest difference, in units of the size of the array. Two correct programs differ by
# rounding, so the bound can be as low as $10^{-11}$.


# %%
def reference_check():
    """The largest max|d|/RMS over all outputs, and over all gradients; those of gradients are called "d …"."""
    taps = [tap for report in goldens.verify("tiny-random") for tap in report.taps]
    outputs = [tap.ratio for tap in taps if not tap.name.startswith("d ")]
    gradients = [tap.ratio for tap in taps if tap.name.startswith("d ")]
    return max(outputs), max(gradients)


# %% [markdown]
# The table of the museum. Each check has a bound, which a correct model stays far below; an exhibit is written down
# with its errors in units of these bounds.

# %%
BOUNDS = {"fresh": 1e-5, "random": 1e-5, "padding": 1e-11, "outputs": 1e-11, "gradients": 1e-11}
curves, errors = {}, {}


def exhibit(name, functions):
    """Train with a mistake, run all checks with it, and write down what they say."""
    with broken(functions):
        curves[name] = train()
        found = (gradient_check(fresh_model()), gradient_check(randomized()), padding_check(randomized()))
        found += reference_check()
    errors[name] = {check: error / BOUNDS[check] for check, error in zip(BOUNDS, found, strict=True)}
    first, last = curves[name][0], np.mean(curves[name][-10:])
    caught = [check for check, error in errors[name].items() if error > 1]
    print(f"{name}: the loss falls from {first:.2f} to {last:.2f}; caught by: {', '.join(caught) or 'nothing'}")
    assert last < 0.75 * first
    return caught


assert exhibit("no mistake", {}) == []

# %% [markdown]
# ## 4. Mistakes in backward
#
# They leave every output of the model as it is. What suffers is the direction of the steps, and any direction with
# something of the true gradient in it still goes down.
#
# **LayerNorm, the gain outside.** With $y = \gamma\,\hat x + \beta$, backward must first multiply by the gain, then
# take the two means (tutorial 4):
#
# $$\mathrm{d}x = r\,\big(g - \overline{g} - \hat x\;\overline{g\,\hat x}\big), \qquad g = \gamma\,\mathrm{d}y.$$
#
# Some multiply by $\gamma$ at the end. At $\gamma = 1$ that is the same, and a fresh model has no other gain.


# %%
def gain_outside(dy, cache):
    x_hat, rstd, weight = cache
    _, dweight, dbias = right_norm_backward(dy, cache)
    dx = dy - dy.mean(axis=-1, keepdims=True) - x_hat * (dy * x_hat).mean(axis=-1, keepdims=True)
    return weight * rstd * dx, dweight, dbias


right_norm_backward = F.layer_norm_backward
caught = exhibit("norm: gain outside", {"layer_norm_backward": gain_outside})
assert "fresh" not in caught
assert {"random", "gradients"} <= set(caught)

# %% [markdown]
# The check on the fresh model says that all is well. This is why every test of this package gives random values to all
# gains and biases first.
#
# **The embedding's gradient, assigned.** The row of a word must receive the gradients of all places where the word
# stands. `dweight[ids] = dy` keeps only the last place, and so does `dweight[ids] += dy`, because NumPy reads the old
# row once for each place and writes the last result.


# %%
def assigned(dy, cache):
    ids, weight, padding_idx = cache
    dweight = np.zeros_like(weight)
    dweight[ids] += dy
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


caught = exhibit("embedding: assigned", {"embedding_backward": assigned})
assert {"random", "gradients"} <= set(caught)

# %% [markdown]
# **Softmax, the diagonal alone.** The Jacobian is $\partial y_i / \partial x_j = y_i(\delta_{ij} - y_j)$. Whoever
# remembers the derivative of the sigmoid writes $y_i(1 - y_i)$ and forgets all other entries.


# %%
caught = exhibit("softmax: diagonal alone", {"softmax_backward": lambda dy, y: dy * y * (1 - y)})
assert {"random", "gradients"} <= set(caught)

# %% [markdown]
# **GELU's slope of the other form.** Forward with erf, backward of the tanh form: the slopes differ by some
# thousandths, far too little for training to notice. The gradient check notices: its bound is lower than people think
# it can be.


# %%
caught = exhibit(
    "gelu: slope of tanh", {"gelu_backward": lambda dy, x: F.gelu_new_backward(dy, F.gelu_new_forward(x)[1])}
)
assert {"random", "gradients"} <= set(caught)


# %% [markdown]
# **Weight gradients averaged over the tokens.** The mean over the batch is in the loss already; whoever takes it again
# in `linear_backward` divides the gradient of every matrix by the number of its rows of input. Adam divides each
# gradient by its own size, so most of the mistake cancels: an optimizer that forgives is an optimizer that hides.


# %%
def averaged(dy, cache):
    dx, dweight, dbias = right_linear_backward(dy, cache)
    n = math.prod(dy.shape[:-1])
    return dx, dweight / n, dbias / n


right_linear_backward = F.linear_backward
caught = exhibit("linear: averaged", {"linear_backward": averaged})
assert {"random", "gradients"} <= set(caught)

# %% [markdown]
# ## 5. Mistakes in forward
#
# Now forward is wrong, and backward belongs to it: whoever writes for a library that differentiates by itself makes
# only mistakes of this kind. It is a working network, only not BERT. **The gradient check must be silent**, and is.
# With published weights every output is wrong.
#
# **GELU by tanh,** both ways; up to 4.7e-4 away from the GELU of the published weights.

# %%
caught = exhibit("gelu by tanh", {"gelu_forward": F.gelu_new_forward, "gelu_backward": F.gelu_new_backward})
assert set(caught) == {"outputs", "gradients"}


# %% [markdown]
# **LayerNorm, epsilon 1e-5,** the default of most libraries; BERT has 1e-12. It matters most where the variance is
# small.


# %%
def norm_with_epsilon(x, weight, bias, eps):
    return right_norm(x, weight, bias, 1e-5)


right_norm = F.layer_norm_forward
caught = exhibit("norm: epsilon 1e-5", {"layer_norm_forward": norm_with_epsilon})
assert set(caught) == {"outputs", "gradients"}


# %% [markdown]
# **Scores that are not scaled.** Without $1/\sqrt D$ the softmax is sharper. The query multiplied by $\sqrt D$ does the
# same, so both directions are one line each.


# %%
def unscaled(query, *rest):
    return right_attention(query * math.sqrt(query.shape[-1]), *rest)


def unscaled_backward(dcontext, dprobs, cache):
    dquery, dkey, dvalue = right_attention_backward(dcontext, dprobs, cache)
    return dquery * math.sqrt(dquery.shape[-1]), dkey, dvalue


ATTENTION = "scaled_dot_product_attention"
right_attention, right_attention_backward = (
    F.scaled_dot_product_attention_forward,
    F.scaled_dot_product_attention_backward,
)
caught = exhibit("scores not scaled", {f"{ATTENTION}_forward": unscaled, f"{ATTENTION}_backward": unscaled_backward})
assert set(caught) == {"outputs", "gradients"}


# %% [markdown]
# **Heads interleaved.** Head $a$ should have the features $aD$ to $aD + D - 1$. Cutting the other way gives it the
# features $a, a + A, a + 2A, \dots$ It is the same network with its features in another order: from scratch it learns
# as well as the right one. Weights that were trained with the right order are rubbish in it.


# %%
def interleaved(x):
    """From heads cut as blocks to heads cut as combs."""
    B, A, S, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, S, D, A).transpose(0, 3, 1, 2)


def back_to_blocks(x):
    """The inverse."""
    B, A, S, D = x.shape
    return x.transpose(0, 2, 3, 1).reshape(B, S, A, D).transpose(0, 2, 1, 3)


def comb_attention(query, key, value, *rest):
    (context, probs), cache = right_attention(interleaved(query), interleaved(key), interleaved(value), *rest)
    return (back_to_blocks(context), probs), cache


def comb_attention_backward(dcontext, dprobs, cache):
    return tuple(map(back_to_blocks, right_attention_backward(interleaved(dcontext), dprobs, cache)))


x = np.arange(24.0).reshape(1, 2, 3, 4)
assert (back_to_blocks(interleaved(x)) == x).all()
caught = exhibit(
    "heads interleaved", {f"{ATTENTION}_forward": comb_attention, f"{ATTENTION}_backward": comb_attention_backward}
)
assert set(caught) == {"outputs", "gradients"}


# %% [markdown]
# **The mask dropped.** Every token looks at the padding too. A text alone has no padding, so all is well when it is
# tried out; in a batch, the answer depends on its neighbours.


# %%
def without_mask(query, key, value, mask, *rest):
    return right_attention(query, key, value, None, *rest)


caught = exhibit("mask dropped", {f"{ATTENTION}_forward": without_mask})
assert {"padding", "outputs", "gradients"} <= set(caught)
print(f"the error of the gradient check, in units of its bound: {errors['mask dropped']['random']:.0e}")

# %% [markdown]
# Why does the gradient check see something here, though forward and backward belong together? Because of one more rule:
# the embedding of `[PAD]` receives no gradient (`padding_idx`). With the mask that is true of itself. Without it the
# padding takes part, and its slope is not 0. Two rules that support each other make good alarms.
#
# **Next sentence with `ignore_index=0`.** A line copied from the other loss, where label 0 was padding. Here 0 means
# "is next": half of the examples no longer count, the rest all say "random", and the loss of this half becomes 0 in no
# time. The curve looks *better* than the right one.


# %%
def ignores_zero(logits, labels, ignore_index=-100):
    return right_cross_entropy(logits, labels, 0 if logits.shape[-1] == 2 else ignore_index)


right_cross_entropy = F.cross_entropy_forward
caught = exhibit("NSP ignores label 0", {"cross_entropy_forward": ignores_zero})
assert set(caught) == {"outputs", "gradients"}
assert np.mean(curves["NSP ignores label 0"][-10:]) < np.mean(curves["no mistake"][-10:])

# %% [markdown]
# ## 6. The whole museum
#
# Which check sees what: the errors in units of the bounds, as powers of ten. A dot means that the check is silent.

# %%
print(f"{'':26s}" + "".join(f"{check:>11s}" for check in BOUNDS))
for name, found in errors.items():
    cells = ["·" if error <= 1 else f"1e{round(math.log10(error)):+d}" for error in found.values()]
    print(f"{name:26s}" + "".join(f"{cell:>11s}" for cell in cells))

BACKWARD = [
    "norm: gain outside",
    "embedding: assigned",
    "softmax: diagonal alone",
    "gelu: slope of tanh",
    "linear: averaged",
]
FORWARD = ["gelu by tanh", "norm: epsilon 1e-5", "scores not scaled", "heads interleaved", "NSP ignores label 0"]
assert all(errors[name]["outputs"] <= 1 < errors[name]["random"] for name in BACKWARD)
assert all(errors[name]["random"] <= 1 < errors[name]["outputs"] for name in FORWARD)

# %% [markdown]
# Read it by columns. A comparison of *outputs* is blind to every mistake of section 4. A *gradient check* is blind to
# every mistake of section 5. On a *fresh* model it misses even one that it could see. Only the comparison of
# *gradients* with a reference sees all: it needs one, and it says that something is wrong, not where.
#
# And the loss? On the left, all the curves; on the right, the largest error of each run over all checks.

# %%
largest = {name: max(found.values()) for name, found in errors.items()}
assert [name for name, error in largest.items() if error <= 1] == ["no mistake"]
rounding = 0.1  # below this, which rounding it is depends on the processor: drawn as this much
figure = draw_checked_losses(
    curves,
    {name: max(error, rounding) for name, error in largest.items()},
    bound=1.0,
    smoothing=8,
    check="largest error, in units of its bound",
    title="All of them learn; one of them is right",
)
figure

# %% [markdown]
# ## 7. Which mistake is it?
#
# To know *that* something is wrong is the smaller half. The package can also say **what**: `bert-numpy verify --port`
# takes the numbers that a port computed, finds the first place at which they leave the reference, makes each of a long
# list of known mistakes there itself, and looks which of them gives just these numbers. Here it meets two of our
# exhibits, and is told nothing but hidden states and logits.

# %%
reference = BertForPreTraining.from_pretrained("tiny-random", dtype=np.float64)
inputs = {name: np.array(rows) for name, rows in {
    "input_ids": [[2, 11, 25, 3, 30, 8, 3], [2, 9, 14, 3, 0, 0, 0]],
    "attention_mask": [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]],
    "token_type_ids": [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]],
}.items()}  # fmt: skip


def dump(functions):
    """What a port with a mistake computes: inputs, hidden states and logits by name."""
    with broken(functions):
        outputs = reference.eval()(**inputs, output_hidden_states=True)
    states = {f"hidden_states.{i}": state for i, state in enumerate(outputs.hidden_states)}
    return {**inputs, **states, "prediction_logits": outputs.prediction_logits}


assert compare(reference, dump({})).ok
for functions in ({"gelu_forward": F.gelu_new_forward}, {f"{ATTENTION}_forward": unscaled}):
    finding = compare(reference, dump(functions)).findings[0]
    print(f"{finding.tap}: {finding.name}\n    remedy: {finding.remedy}")

# %% [markdown]
# ## 8. A mistake that is no function
#
# The one that did most harm, by the reports of users, is in no formula. Files of 2018 and 2019 call the gain and bias
# of LayerNorm `gamma` and `beta`. A loader that looks for `weight` and `bias`, does not find them, and says nothing
# leaves every LayerNorm as fresh as it was. Let us do that to `small-world`, and ask it for all capitals.

# %%
small_world = BertForPreTraining.from_pretrained("small-world").eval()
countries, capitals = list(PLACES.words("country")), [PLACES.cell(i, "capital") for i in range(len(PLACES))]
questions = tokenizer([f"the capital of {country} is [MASK] ." for country in countries], return_tensors="np")
at_mask = questions["input_ids"] == tokenizer.mask_token_id
answers = np.where(at_mask, np.array(tokenizer.convert_tokens_to_ids(capitals))[:, None], -100)


def ask(model):
    """How many capitals are found, and the mean loss."""
    logits = model(**questions).prediction_logits
    found = int((logits.argmax(-1) == answers).sum())
    return found, float(F.cross_entropy_forward(logits, answers)[0])


loaded = ask(small_world)
old_names = {name: array for name, array in small_world.state_dict().items() if "LayerNorm" not in name}
for name, parameter in small_world.named_parameters():
    if "LayerNorm" in name:
        parameter.data[...] = name.endswith("weight")
not_loaded = ask(small_world)
for what, (found, loss) in {"all loaded": loaded, "LayerNorm silently not loaded": not_loaded}.items():
    print(f"{what:30s} capitals found: {found} of {len(capitals)}, loss {loss:.3f}")
assert loaded[0] == len(capitals)
assert not_loaded[1] > 1.5 * loaded[1]

# %% [markdown]
# No crash, no wrong shape, and most answers are right still: the gains of this small model are near 1, and those of a
# published BERT are not. After a little fine-tuning nobody would notice. The remedy is no test but a rule: **a loader
# names every key that is missing or too many, and refuses.** (This one also knows the old names.)

# %%
try:
    small_world.load_state_dict(old_names)
except ValueError as error:
    print(str(error)[:160], "…")
else:
    raise AssertionError("it loaded in silence")

# %% [markdown]
# ## On your own
#
# 1. Add an exhibit: LayerNorm's variance divided by $n - 1$. Write forward alone first, then the backward that belongs
#    to it. Which checks notice the first, which the second?
# 2. Ask for all words, visible ones too: `labels = input_ids`. Why does the loss fall below what tutorial 10 calls the
#    least possible? Which of the five columns would notice, and which other check?
# 3. Leave dropout on where nothing is trained (`model.train()` with a dropout of 0.1). Write the check that notices: it
#    is one line long.
# 4. Replace AdamW by `SGD` in `train`, and look at "linear: averaged" again.
# 5. Exchange query and key in `unscaled`'s place: a mistake that even many papers' figures have. What does
#    `compare(…)` say?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `layer_norm_backward`, `embedding_backward`, `softmax_backward` and `gelu_backward`. Each of them knows the
# mistakes of this museum by name, and says which one you made.
#
# ## Further reading
#
# - Devlin et al. 2018, arXiv 1810.04805, appendix A.2 has the activation, footnotes and code have the rest: most of the
#   exhibits are in no paper, only in weights.
# - Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2: both forms of GELU.
# - In the package: `bert_numpy/verification/divergences.py`, the long list; `diagnosis.py` beside it, how one of them
#   is recognised; `tests/models/test_gradients.py`, the checks of this tutorial as tests.
