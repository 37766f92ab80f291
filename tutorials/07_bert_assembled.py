# %% [markdown]
# # 7. BERT assembled, with real weights, against the reference
#
# **What you will do.** Read a file of weights byte by byte. Put BERT together from the parts of tutorials 2 to 6, in
# sixty lines, and run it. Compare every layer with what the reference library computed, in float64 and in float32. Make
# mistakes on purpose and see where they show. Then load a BERT that has learnt something, and ask it.
#
# **What you will learn.** What is in a checkpoint, and what is not. How the names of the weights follow the structure.
# How large an error of rounding is, how large that of a bug, and how to tell them apart by layer.
#
# **What you need.** Tutorials 2 (embeddings), 4 (LayerNorm), 5 (attention) and 6 (one layer). About 40 minutes to read.

# %%
import json
import math

import numpy as np

from bert_numpy import BertConfig, BertForMaskedLM, BertTokenizer
from bert_numpy.checkpoints import load_checkpoint, safetensors
from bert_numpy.hub import find_model
from bert_numpy.nn import functional as F
from bert_numpy.verification import TOLERANCES, compare_arrays
from bert_numpy.verification.goldens import verify
from bert_numpy.visualization.canvas import COLORS, MARKERS, new_figure

# %% [markdown]
# ## 1. A file of weights
#
# A checkpoint is a folder: `config.json` with the sizes, `vocab.txt` with the tokens, and the weights. The weights are
# in the format safetensors, which is as plain as a format can be: eight bytes that hold a length $n$ (the lowest byte
# first), $n$ bytes of JSON that say the name, the type, the shape and the place of each array, and then the arrays, one
# after the other.
#
# `tiny-random` is a BERT with random weights that ships with this package, to check things with. Its sizes are all
# different, its gains are not 1 and its biases not 0, so that no mistake can hide behind a coincidence.


# %%
def read_weights(path):
    """The arrays of a safetensors file, by name, byte by byte."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "F32":
            values = np.frombuffer(content[start:end], "<f4")
        elif entry["dtype"] == "BF16":  # see section 7
            values = (np.frombuffer(content[start:end], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            raise ValueError(f"{name} is stored as {entry['dtype']}, which this reader does not know")
        arrays[name] = values.reshape(entry["shape"])
    return arrays


folder = find_model("tiny-random", download=False)
weights = read_weights(folder / "model.safetensors")
ours, theirs = weights, load_checkpoint(folder)
assert ours.keys() == theirs.keys()
assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
print(f"{len(weights)} arrays with {sum(array.size for array in weights.values()):,} numbers, equal to the package's")
for name, array in weights.items():
    if "layer.1" not in name:
        print(f"  {name:60s} {array.shape}")

# %% [markdown]
# The names are paths: `bert.encoder.layer.0.attention.self.query.weight` is the weight, of the query, of
# self-attention, of layer 0, of the encoder. Note what is **not** there: a matrix for the decoder of masked words. It
# is the word table (tutorial 8).
#
# The shapes tell the sizes, all but one: into how many heads $H$ is divided, no weight can say. A loader that guesses
# it wrongly computes nonsense without any error. That is what `config.json` is for.

# %%
config = BertConfig.from_pretrained(folder)
V, H = weights["bert.embeddings.word_embeddings.weight"].shape
intermediate_size, _ = weights["bert.encoder.layer.0.intermediate.dense.weight"].shape
A, L = config.num_attention_heads, config.num_hidden_layers
print(f"from the shapes: V = {V}, H = {H}, I = {intermediate_size}")
print(f"from the configuration: A = {A}, so D = {H // A}; L = {L}")
assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (V, H, intermediate_size)

# %% [markdown]
# ## 2. What the reference computed
#
# Beside the weights lies `reference.safetensors`: three texts, and what transformers and torch computed from them with
# these weights, in float64. That is our oracle. First, are the inputs the same? (The second text is a single one, the
# others are pairs; all are padded to one length.)

# %%
stored = safetensors.load_file(folder / "reference.safetensors")
texts = json.loads(safetensors.read_header(folder / "reference.safetensors").metadata["texts"])
inputs = {name.removeprefix("inputs/"): array for name, array in stored.items() if name.startswith("inputs/")}
B, S = inputs["input_ids"].shape

tokenizer = BertTokenizer.from_pretrained(folder)
rows = [tokenizer(first, second, padding="max_length", max_length=S) for first, second in texts]
for name, expected in inputs.items():
    assert np.array_equal([row[name] for row in rows], expected), name
print(f"ids, segments and mask of {B} texts, {S} tokens each: equal")
print(" ".join(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])))

layers = [name for i in range(L) for name in (f"attentions.{i}", f"hidden_states.{i + 1}")]
expected = {name: stored[f"BertModel/outputs/{name}"] for name in ("hidden_states.0", *layers, "pooler_output")}
for name in ("prediction_logits", "seq_relationship_logits", "loss"):
    expected[name] = stored[f"BertForPreTraining/outputs/{name}"]
print("taps:", ", ".join(expected))

# %% [markdown]
# ## 3. The embeddings
#
# Three tables, summed and normalized: the word, its position, its segment.


# %%
def linear(w, name, x):
    return F.linear_forward(x, w[f"{name}.weight"], w[f"{name}.bias"])[0]


def norm(w, name, x):
    return F.layer_norm_forward(x, w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], 1e-12)[0]


def embeddings(w, input_ids, token_type_ids):
    e = "bert.embeddings"
    words = w[f"{e}.word_embeddings.weight"][input_ids]  # (B, S, H)
    positions = w[f"{e}.position_embeddings.weight"][: input_ids.shape[1]]  # (S, H), the same for all texts
    segments = w[f"{e}.token_type_embeddings.weight"][token_type_ids]  # (B, S, H)
    return norm(w, e, words + positions + segments)


def error(actual, expected):
    """Largest difference, in units of the root mean square of what is expected."""
    return float(np.abs(actual - expected).max() / np.sqrt(np.square(expected).mean()))


w64 = {name: array.astype(np.float64) for name, array in weights.items()}
x = embeddings(w64, inputs["input_ids"], inputs["token_type_ids"])
assert error(x, expected["hidden_states.0"]) < 1e-11
print("embeddings: equal to the reference, the error is below 1e-11")

# %% [markdown]
# Does every term matter? Leave the segments out, which changes nothing about shapes:

# %%
without = embeddings(w64, inputs["input_ids"], np.zeros_like(inputs["token_type_ids"]))
print(f"without segments: error {error(without, expected['hidden_states.0']):.2f}")
assert error(without, expected["hidden_states.0"]) > 0.1

# %% [markdown]
# ## 4. The layers
#
# One layer is tutorial 6, now with the names of the file. A token may look at all real tokens of its text, and at no
# padding: to the scores of padding the lowest number of the dtype is added, and softmax makes 0 of it.


# %%
def split_heads(x):
    B, S, H = x.shape
    return x.reshape(B, S, A, H // A).transpose(0, 2, 1, 3)  # (B, A, S, D)


def layer(w, i, x, mask, gelu):
    """Layer i: (the next hidden states (B, S, H), the attention weights (B, A, S, S))."""
    n = f"bert.encoder.layer.{i}"
    q, k, v = (split_heads(linear(w, f"{n}.attention.self.{name}", x)) for name in ("query", "key", "value"))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + mask  # (B, A, S, S)
    probs, _ = F.softmax_forward(scores)
    context = (probs @ v).transpose(0, 2, 1, 3).reshape(x.shape)  # (B, S, H)
    a = norm(w, f"{n}.attention.output", x + linear(w, f"{n}.attention.output.dense", context))
    h, _ = gelu(linear(w, f"{n}.intermediate.dense", a))  # (B, S, I)
    return norm(w, f"{n}.output", a + linear(w, f"{n}.output.dense", h)), probs


def additive_mask(attention_mask, dtype):
    return np.where(attention_mask == 1, 0, np.finfo(dtype).min).astype(dtype)[:, None, None, :]  # (B, 1, 1, S)


mask = additive_mask(inputs["attention_mask"], np.float64)
for i in range(L):
    x, probs = layer(w64, i, x, mask, F.gelu_forward)
    for name, found in [(f"attentions.{i}", probs), (f"hidden_states.{i + 1}", x)]:
        assert error(found, expected[name]) < 1e-11, name
        print(f"{name}: equal to the reference, the error is below 1e-11")

# %% [markdown]
# ## 5. The heads, and all of it together
#
# The pooler is $\tanh(W h_{[\mathrm{CLS}]} + b)$. For masked words each hidden state goes through one more layer with
# GELU and a norm, and is then compared with every row of the word table. For next sentence two logits are made of the
# pooled vector. Losses as in tutorial 8.


# %%
def bert(w, input_ids, attention_mask, token_type_ids, gelu=F.gelu_forward):
    """BERT with both heads of pre-training: every tap by its name."""
    taps = {}
    words = w["bert.embeddings.word_embeddings.weight"]
    mask = additive_mask(attention_mask, words.dtype)
    x = taps["hidden_states.0"] = embeddings(w, input_ids, token_type_ids)
    for i in range(L):
        x, taps[f"attentions.{i}"] = layer(w, i, x, mask, gelu)
        taps[f"hidden_states.{i + 1}"] = x
    pooled = taps["pooler_output"] = np.tanh(linear(w, "bert.pooler.dense", x[:, 0]))
    head = "cls.predictions"
    h, _ = gelu(linear(w, f"{head}.transform.dense", x))
    h = norm(w, f"{head}.transform", h)
    taps["prediction_logits"] = h @ words.T + w[f"{head}.bias"]  # (B, S, V)
    taps["seq_relationship_logits"] = linear(w, "cls.seq_relationship", pooled)  # (B, 2)
    return taps


def with_loss(taps):
    masked_words, _ = F.cross_entropy_forward(taps["prediction_logits"], stored["BertForPreTraining/inputs/labels"])
    labels = stored["BertForPreTraining/inputs/next_sentence_label"]
    next_sentence, _ = F.cross_entropy_forward(taps["seq_relationship_logits"], labels)
    return {**taps, "loss": masked_words + next_sentence}


runs = {"float64": with_loss(bert(w64, **inputs)), "float32": with_loss(bert(weights, **inputs))}
for name, taps in runs.items():
    report = compare_arrays(expected, taps, name)
    assert report.ok, report.worst
    print(f"{name}: {len(report.taps)} taps agree with the reference, all errors are below {TOLERANCES[name]:g}")

# %% [markdown]
# That is BERT. In float32 the errors are larger by nine powers of ten, since a float32 holds seven digits and a float64
# sixteen; both are nothing but rounding. How do we know? Because the float64 run has shown the formula to be right, and
# the float32 run is the same formula.
#
# ## 6. Wrong on purpose
#
# An error has to be judged by its size, and by where it begins. Three mistakes that run without complaint:
#
# - the tanh form of GELU, where the reference has the one with erf;
# - attention to padding, because the mask was forgotten;
# - segments forgotten.
#
# Each goes in float64, so that nothing of it is rounding.

# %%
ones, zeros = np.ones_like(inputs["attention_mask"]), np.zeros_like(inputs["token_type_ids"])
runs["tanh GELU"] = with_loss(bert(w64, **inputs, gelu=F.gelu_new_forward))
runs["no mask"] = with_loss(bert(w64, **{**inputs, "attention_mask": ones}))
runs["no segments"] = with_loss(bert(w64, **{**inputs, "token_type_ids": zeros}))
for name in ("tanh GELU", "no mask", "no segments"):
    taps = compare_arrays(expected, runs[name], np.float64).taps
    first = next(tap for tap in taps if not tap.ok)
    print(f"{name:12s} first wrong: {first.name:16s} error there {first.ratio:.0e}, of the loss {taps[-1].ratio:.0e}")

# %%
figure = new_figure(4.6)
axes = figure.add_subplot()
for i, (name, taps) in enumerate(runs.items()):
    sizes = np.array([max(error(taps[tap], expected[tap]), 1e-16) for tap in expected])
    if name in TOLERANCES:  # rounding: a band, since its size is a matter of chance; for one number, the loss, of luck
        axes.fill_between(
            range(len(sizes) - 1), sizes[:-1] / 4, sizes[:-1] * 4, color=COLORS[i], alpha=0.15, linewidth=0
        )
        axes.text(
            4.5, {"float32": 1e-6, "float64": 2e-15}[name], f"rounding in {name}", ha="center", va="center", fontsize=9
        )
        axes.axhline(TOLERANCES[name], color="#57606a", linewidth=1, linestyle=":")
        axes.text(0.06, TOLERANCES[name] * 1.7, "tolerance", fontsize=9, color="#57606a")
    else:
        first = int(np.argmax(sizes > TOLERANCES["float64"]))
        axes.plot(range(first, len(sizes)), sizes[first:], color=COLORS[i], marker=MARKERS[i], markersize=5, label=name)
        axes.vlines(first, 1e-14, sizes[first], color=COLORS[i], linewidth=1.2)
axes.set_xticks(range(len(expected)), [tap.replace("_", "\n") for tap in expected], fontsize=8)
axes.set(
    yscale="log", xlim=(-0.4, len(expected) - 0.5), ylim=(1e-17, 1e4), ylabel="max|d| / RMS", title="Error by layer"
)
axes.grid(axis="y", color="#d0d7de", linewidth=0.6)
axes.spines[["top", "right"]].set_visible(False)
axes.legend(loc="upper left", ncols=3, frameon=False, fontsize=9)
figure

# %% [markdown]
# Read it from left to right. Rounding is there from the first tap on, and hardly grows. A bug is a **jump**: up to a
# tap all is as small as rounding, and there it starts. Where it starts is where to look: the segments in the
# embeddings, the mask in the first attention, GELU after it.
#
# Look at the tanh GELU closely. It lies above the band of float32, but below "a difference of 1e-3, from rounding",
# which many a port has been passed with. And the loss hides it: the errors of many places cancel, and what is left
# could be rounding. The remedy is to compare tensors and not losses, and in float64, where the same bug stands far
# above the noise.

# %%
rows = {name: {tap: error(runs[name][tap], expected[tap]) for tap in expected} for name in runs}
later = list(expected)[2:-1]  # from the first GELU on, without the loss
for name, factor in [("float32", 10), ("float64", 1e9)]:
    noise = max(rows[name].values())
    assert min(rows["tanh GELU"][tap] for tap in later) > factor * noise
    print(f"tanh GELU stands above the noise of {name} by a factor of more than {factor:g}")
print(f"tanh GELU, error of the loss: {rows['tanh GELU']['loss']:.0e}; the tolerance of float32 is 5e-05")
assert rows["tanh GELU"]["loss"] < TOLERANCES["float32"]

# %% [markdown]
# **And backward?** It is `layer_backward` of tutorial 6, once for each layer, with a head in front and the embeddings
# behind. The file holds the gradient of every parameter for every head as well. `verify` runs the package's models on
# the same inputs, forward and backward, and compares everything.

# %%
for report in verify("tiny-random", np.float64):
    assert report.ok, report.worst
    print(f"{report.title:42s} {len(report.taps):3d} arrays agree")

# %% [markdown]
# ## 7. A BERT that has learnt something
#
# `small-world` ships with this package, too: three layers that were trained on a generated corpus about capitals, sums,
# days and pets. Its weights are stored as **bfloat16**, the upper half of a float32: the sign, the 8 bits of the
# exponent, and the first 7 bits of the fraction. To read one, put 16 zero bits behind it; that is the line in
# `read_weights`. What is lost is precision, not range.

# %%
folder = find_model("small-world", download=False)
world = read_weights(folder / "model.safetensors")
assert all(np.array_equal(world[name], array) for name, array in load_checkpoint(folder).items())
assert not any((array.view(np.uint32) & 0xFFFF).any() for array in world.values())
print("the lower 16 bits of every weight are 0")
pi = np.array([math.pi], np.float32)
print(f"π as float32: {pi[0]:.7f}, cut to bfloat16: {(pi.view(np.uint32) & 0xFFFF0000).view(np.float32)[0]:.7f}")

# %% [markdown]
# The sixty lines above do not know which BERT they run. Give them other weights, and the number of heads and layers of
# its configuration, and ask.

# %%
config = BertConfig.from_pretrained(folder)
A, L = config.num_attention_heads, config.num_hidden_layers
tokenizer = BertTokenizer.from_pretrained(folder)
package = BertForMaskedLM.from_pretrained(folder)
questions = [
    "the capital of france is [MASK] .",
    "the capital of spain is [MASK] .",
    "the day after sunday is [MASK] .",
]
batch = dict(tokenizer(questions, padding=True, return_tensors="np"))
logits = bert(world, **batch)["prediction_logits"]
places = batch["input_ids"] == tokenizer.mask_token_id
answers = tokenizer.convert_ids_to_tokens(logits[places].argmax(axis=-1))
for question, answer in zip(questions, answers, strict=True):
    print(question.replace("[MASK]", answer.upper()))
assert answers == ["paris", "madrid", "monday"]
assert error(logits, package(**batch).logits) < TOLERANCES["float32"]
print(f"by hand and BertForMaskedLM: equal, the error is below {TOLERANCES['float32']:g}")

# %% [markdown]
# One last mistake, the one that no file can prevent: the wrong number of heads. Every shape fits. The model does not
# fail; it is only wrong.

# %%
right, A = A, 2 * A
mistaken = bert(world, **batch)["prediction_logits"]
A = right
assert mistaken.shape == logits.shape
assert error(mistaken, logits) > 0.1
print("with twice as many heads: the same shapes, and logits that are wrong by more than a tenth of their RMS")

# %% [markdown]
# ## On your own
#
# 1. Put the $\epsilon$ of the norms to 1e-5 or 1e-3 in `norm`. From which tap on, and how far above rounding? Why is it
#    so much smaller than the other mistakes?
# 2. Swap `key` and `query` in `layer`. Which taps change? (Think first: what happens to the matrix of scores?)
# 3. Round all weights of `tiny-random` to bfloat16 and add the run to the picture. Where does it lie between float32
#    and the tanh GELU?
# 4. Load any BERT that you have on disk into `bert` and compare with `BertForPreTraining.from_pretrained`. Old files
#    have `gamma` and `beta` for the norms: which module of the package takes care of that?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `BertEncoder.forward`, `BertEncoder.backward`, `BertPooler.forward`, `BertPooler.backward`, `widen` (bfloat16),
# and for old names `canonical_name`, `to_expected` and `to_published`.
#
# ## Further reading
#
# - BERT: Devlin et al. 2018, arXiv 1810.04805, section 3; the Transformer: Vaswani et al. 2017, arXiv 1706.03762,
#   section 3.1 (the left half of figure 1).
# - In the package: `bert_numpy/models/bert.py`, `models/encoder.py`; then `checkpoints/safetensors.py`, which reads the
#   same file without trusting it, and `verification/`, which finds the first wrong tap of a port of yours.
