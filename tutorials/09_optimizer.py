# %% [markdown]
# # 9. The optimizer: what each of its parts does to one and the same run
#
# **What you will do.** Train one small BERT on one batch, again and again from the same start, and change one thing
# each time: the rule, the bias correction, the warm-up, the weight decay, the clipping. Derive each of them first.
#
# **What you will learn.** Why one rate for all parameters fails, and how Adam gets around it. Where the bias correction
# comes from, and what Google's BERT does without it. Why decay is taken out of the gradient, and which parameters are
# spared. What a warm-up protects from, and clipping.
#
# **What you need.** Tutorials 3 (gradients), 6 (residuals and post-LN) and 8 (the loss). About 45 minutes to read.

# %%
import math

import numpy as np

from bert_numpy import (
    SGD,
    AdamW,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    PretrainingDataset,
    get_google_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)
from bert_numpy.data.world import generate_documents, world_vocabulary
from bert_numpy.nn import Parameter
from bert_numpy.nn.blas import one_thread
from bert_numpy.training import clip_grad_norm_, parameter_groups
from bert_numpy.verification import relative_error
from bert_numpy.visualization.canvas import COLORS, new_figure


def agree(what, actual, expected, bound=1e-12):
    """Say that two arrays are equal up to a bound, after making sure that they are."""
    difference = relative_error(np.asarray(actual), np.asarray(expected))
    assert difference < bound, f"{what}: {difference}"
    print(f"{what}: equal, the difference is below {bound:g}")


rng = np.random.default_rng(9)

# %% [markdown]
# ## 1. The run
#
# Four layers, masked words, 80 steps, and always the same twelve sequences with the same masks: what differs between
# two runs is then the optimizer and nothing else, and not the luck of a batch. To learn twelve sequences by heart is
# no achievement, but an optimizer that cannot do it will not do better on a corpus. All is in float64.

# %%
tokenizer = BertTokenizer(world_vocabulary())
dataset = PretrainingDataset(list(generate_documents(40, seed=0)), tokenizer, max_length=24, short_seq_prob=0.0)
batch = {name: dataset.batch(range(12))[name] for name in ("input_ids", "attention_mask", "token_type_ids", "labels")}
sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
config = BertConfig(
    vocab_size=len(tokenizer), max_position_embeddings=24, initializer_range=0.05, **sizes, **no_dropout
)
STEPS = 80


@one_thread()  # products as small as these gain nothing from two
def run(make_optimizer, make_schedule=None, max_norm=math.inf, bad_step=None):
    """Train from the one start; return what was seen: losses, norms of the gradient, sizes of the steps."""
    model = BertForMaskedLM(config, dtype=np.float64, rng=0)
    parameters, size = list(model.parameters()), model.num_parameters()
    optimizer = make_optimizer(model)
    schedule = make_schedule(optimizer) if make_schedule else None
    seen = {"loss": [], "norm": [], "moved": [], "model": model, "optimizer": optimizer}
    for step in range(STEPS):
        outputs, cache = model.forward(**batch)
        model.backward(1000.0 if step == bad_step else 1.0, cache)
        before = [parameter.data.copy() for parameter in parameters]
        seen["norm"].append(clip_grad_norm_(parameters, max_norm))
        optimizer.step()
        optimizer.zero_grad()
        if schedule:
            schedule.step()
        moved = sum(np.square(p.data - old).sum() for p, old in zip(parameters, before, strict=True))
        seen["moved"].append(math.sqrt(moved / size))  # RMS of the change
        seen["loss"].append(float(outputs.loss))
    return seen


# %% [markdown]
# One number to compare with: a model that looks at nothing, and gives to every word its frequency among the answers.
# Its loss is the entropy of the answers, and no other constant answer has a lower one (Gibbs' inequality).

# %%
answers = batch["labels"][batch["labels"] != -100]
frequency = np.unique(answers, return_counts=True)[1] / len(answers)
blind = -(frequency * np.log(frequency)).sum()
others = rng.dirichlet(len(answers) * frequency, size=1000)  # other answers, not far from it
assert (-(frequency * np.log(others)).sum(axis=1) >= blind).all()
print(f"{len(answers)} masked words; knowing nothing: ln V = {math.log(len(tokenizer)):.2f}")
print(f"knowing the frequencies of the answers and nothing else: {blind:.2f}")

# %% [markdown]
# ## 2. Plain gradient descent, and its one rate
#
# $$\theta \leftarrow \theta - \eta\, g$$
#
# A step is as large as the gradient, for each parameter. How large are those?

# %%
model = BertForMaskedLM(config, dtype=np.float64, rng=0)
_, cache = model.forward(**batch)
model.backward(1.0, cache)
named = {name: p for name, p in model.named_parameters() if not name.endswith("key.bias")}  # its gradient is 0
rms = {name: float(np.sqrt(np.square(p.grad).mean())) for name, p in named.items()}
small, large = min(rms, key=rms.get), max(rms, key=rms.get)
for name in (small, large):
    print(f"RMS of the gradient {rms[name]:.0e}: {name}")
print(f"from the smallest to the largest: a factor of about 10 to the {math.log10(rms[large] / rms[small]):.0f}")
assert rms[large] / rms[small] > 1e3

# %% [markdown]
# No rate suits both: what moves the one tears the other apart. At 0.3 SGD still goes down, but not far; at 1 it blows
# up (try it).

# %%
runs = {"SGD, 0.3": run(lambda model: SGD(model.parameters(), lr=0.3))}
print(f"SGD with rate 0.3: loss {runs['SGD, 0.3']['loss'][0]:.2f} -> {runs['SGD, 0.3']['loss'][-1]:.2f}")

# %% [markdown]
# ## 3. Adam: divide by what is usual
#
# Adam keeps two moving averages for each single number, of the gradient and of its square,
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\, g_t^2,$$
#
# and steps by the ratio $m/\sqrt v$: the mean over the root mean square. If the gradient always has the same sign, the
# ratio is about 1, whatever its size; if its sign changes at random, it is about 0.
#
# **Bias correction.** Both start at 0, so they are too small at first. By how much? Put the recursion into itself:
#
# $$m_t = (1-\beta_1) \sum_{i=1}^{t} \beta_1^{\,t-i}\, g_i .$$
#
# For a constant gradient $g$ the sum is geometric, $\sum_{k=0}^{t-1}\beta_1^k = \frac{1-\beta_1^t}{1-\beta_1}$, and
# $m_t = (1-\beta_1^t)\, g$. The same holds for the mean of $m_t$ if the gradients have the mean $g$. In the same way
# $v_t = (1-\beta_2^t)\, g^2$. Divide the factors out:
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t}, \qquad
# \theta \leftarrow \theta - \eta\left(\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} + \lambda\,\theta\right).$$
#
# ($\lambda$ is the weight decay of section 6.)


# %%
def adamw_step(theta, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, correct_bias=True):
    """One step for one array; returns the new (theta, m, v).  t counts from 1."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if correct_bias else (m, v)
    return theta - lr * (m_hat / (np.sqrt(v_hat) + eps) + decay * theta), m, v


m = v = 0.0
for t in range(1, 51):
    _, m, v = adamw_step(0.0, 3.0, m, v, t, lr=0.1)
    assert abs(m - (1 - 0.9**t) * 3.0) < 1e-12
    assert abs(v - (1 - 0.999**t) * 9.0) < 1e-12
print(f"a constant gradient of 3, after 50 steps: m = {m:.3f}, v = {v:.3f}")
print(f"corrected: {m / (1 - 0.9**50):.3f} and {v / (1 - 0.999**50):.3f}")

# %% [markdown]
# Is that what the package computes? Let both follow the same gradients, those of the real run, for ten steps: every
# parameter, with decay, in both forms. (Google's has no correction and $\epsilon = 10^{-6}$; more of it below.)

# %%
for name, options in {"torch's form": {}, "Google's form": {"correct_bias": False, "eps": 1e-6}}.items():
    model = BertForMaskedLM(config, dtype=np.float64, rng=0)
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.1, **options)
    by_hand = {path: (p.data.copy(), 0.0, 0.0) for path, p in model.named_parameters()}
    for t in range(1, 11):
        _, cache = model.forward(**batch)
        model.backward(1.0, cache)
        for path, p in model.named_parameters():
            by_hand[path] = adamw_step(by_hand[path][0], p.grad, *by_hand[path][1:], t, 3e-3, decay=0.1, **options)
        optimizer.step()
        optimizer.zero_grad()
    for path, p in model.named_parameters():
        assert relative_error(p.data, by_hand[path][0]) < 1e-12, path
    print(f"{name}: {len(by_hand)} parameters after ten steps are equal, the differences are below 1e-12")

# %% [markdown]
# Two properties follow from the ratio.
#
# - **The size of the loss does not matter.** Multiply all gradients by 100: $m$ grows by 100, $\sqrt v$ too, and apart
#   from $\epsilon$ nothing changes.
# - **The first step is a step of the sign.** At $t = 1$, $\hat m = g$ and $\sqrt{\hat v} = |g|$: every number moves by
#   $\eta$, up or down, all at once. In our run no later step is as large.

# %%
gradients = rng.normal(size=(30, 5))
ends = []
for scale in (1.0, 100.0):
    theta, m, v = np.ones(5), 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        theta, m, v = adamw_step(theta, scale * g, m, v, t, lr=0.01)
    ends.append(theta)
agree("after 30 steps, and with gradients 100 times as large", ends[1], ends[0], 1e-6)

runs["Adam, 0.003"] = run(lambda model: AdamW(model.parameters(), lr=3e-3, weight_decay=0))
moved = np.array(runs["Adam, 0.003"]["moved"]) / 3e-3
print(f"RMS of a step, in units of the rate: step 1 {moved[0]:.2f}, step 2 {moved[1]:.2f}, step 40 {moved[39]:.2f}")
assert moved[0] > 0.99
assert moved[0] == moved.max()
print(
    f"Adam with rate 0.003: loss {runs['Adam, 0.003']['loss'][-1]:.2f}, SGD came to {runs['SGD, 0.3']['loss'][-1]:.2f}"
)
assert runs["Adam, 0.003"]["loss"][-1] < 0.5 * runs["SGD, 0.3"]["loss"][-1]

# %% [markdown]
# ## 4. Google's form: without the correction
#
# The program that trained BERT leaves the correction out. For a constant gradient its step is not $\eta$ but
#
# $$\eta\,\frac{m_t}{\sqrt{v_t}} = \eta\,\frac{1-\beta_1^t}{\sqrt{1-\beta_2^t}} .$$
#
# At the first step $m$ is a tenth of the gradient, and $v$ a thousandth of its square. But it is the root of $v$ that
# divides, and the root of a thousandth is a thirtieth. A tenth over a thirtieth: the step is $0.1/\sqrt{0.001} = 3.2$
# times $\eta$. Then $m$ is nearly complete after some thirty steps, $v$ only after some thousands, and until then we
# divide by too little. The step is too **large**, and for long.

# %%
t = np.arange(1, 10_001)
factor = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
for step in (1, int(t[factor.argmax()]), 100, 1000, 10_000):
    print(f"step {step:6d}: {factor[step - 1]:.2f} times the step of torch's form")
assert factor.argmax() + 1 == 12

parameter = Parameter(np.zeros(1))
optimizer = AdamW([parameter], lr=1.0, eps=0.0, weight_decay=0, correct_bias=False)
steps = []
for _ in range(20):
    before = parameter.data.copy()
    parameter.accumulate(np.array([-7.0]))
    optimizer.step()
    optimizer.zero_grad()
    steps.append(float(parameter.data[0] - before[0]))
agree("the steps of AdamW(correct_bias=False) and the formula", steps, factor[:20])


# %%
def google(lr):
    return lambda model: AdamW(model.parameters(), lr=lr, weight_decay=0, eps=1e-6, correct_bias=False)


runs["Google's form, 0.003"] = run(google(3e-3))
runs["Google's form, 0.01"] = run(google(1e-2))
for name in ("Google's form, 0.003", "Google's form, 0.01"):
    print(f"{name}: loss after 20 steps {runs[name]['loss'][20]:.2f}, at the end {runs[name]['loss'][-1]:.3f}")

# %% [markdown]
# At the rate 0.003 it is *faster* than torch's form: in a run of 80 steps it simply has a rate that is some five times
# as high. At 0.01 it is lost. And the number at which it is stuck is no accident:

# %%
stuck = runs["Google's form, 0.01"]
print(f"stuck at {stuck['loss'][-1]:.3f}; knowing the frequencies and nothing else is {blind:.3f}")
assert abs(stuck["loss"][-1] - blind) < 0.01
hidden = stuck["model"].bert(**{k: batch[k] for k in batch if k != "labels"}).last_hidden_state[batch["labels"] != -100]
spread = np.linalg.norm(hidden - hidden.mean(axis=0), axis=1).mean() / np.linalg.norm(hidden.mean(axis=0))
print(f"hidden states at the masked places differ by {spread:.0e} of their norm")
assert spread < 0.05

# %% [markdown]
# The first few steps were so large that all places came to have the same hidden state. What is the same everywhere can
# only learn the frequencies, and no gradient tells one place from another any more.
#
# ## 5. Warm-up: small steps until the averages mean something
#
# The first steps are the largest there are, in the direction of the signs of one batch, with a $v$ made of a handful of
# gradients; and with post-LN (tutorial 6) the gradients of the upper layers are large just then (see Xiong et al.
# below). So the rate starts at 0 and rises over $W$ steps, and then falls to 0 at the last step $T$:
#
# $$\eta_t = \eta \begin{cases} t/W & t < W \\ (T-t)/(T-W) & t \ge W. \end{cases}$$
#
# Google's program counts the decay from the very beginning, $(T-t)/T$ for $t \ge W$, so that its rate jumps down where
# the warm-up ends. With $W$ at 1 % of $T$, as in BERT, that is a matter of 1 %.


# %%
def rates(make_schedule):
    optimizer = AdamW([Parameter(np.zeros(1))], lr=1.0)
    schedule, found = make_schedule(optimizer, 20, STEPS), []
    for _ in range(STEPS):
        found += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    return np.array(found)


t = np.arange(STEPS)
linear, googles = rates(get_linear_schedule_with_warmup), rates(get_google_schedule_with_warmup)
agree("the linear schedule", linear, np.where(t < 20, t / 20, (STEPS - t) / (STEPS - 20)))
agree("Google's schedule", googles, np.where(t < 20, t / 20, (STEPS - t) / STEPS))


def warmed_up(optimizer):
    return get_linear_schedule_with_warmup(optimizer, 20, STEPS)


runs["Adam, 0.036"] = run(lambda model: AdamW(model.parameters(), lr=3.6e-2, weight_decay=0))
runs["Adam, 0.036, warm-up"] = run(lambda model: AdamW(model.parameters(), lr=3.6e-2, weight_decay=0), warmed_up)
for name in ("Adam, 0.036", "Adam, 0.036, warm-up"):
    print(f"{name}: loss at the end {runs[name]['loss'][-1]:.3f}")
assert runs["Adam, 0.036, warm-up"]["loss"][-1] < 0.05
assert runs["Adam, 0.036"]["loss"][-1] > 1

# %% [markdown]
# The same rule, the same highest rate, twelve times that of section 3: without the warm-up the run is lost, with it the
# batch is learnt by heart.
#
# Does it save Google's form at 0.01, too? Twenty steps are not enough for that: after them the factor of section 4 is
# still about 6. BERT itself was warmed up over 10,000 steps, where the factor is 1.

# %%
print(f"factor after 20 steps: {factor[19]:.1f}, after 10,000: {factor[-1]:.2f}")
late = run(google(1e-2), warmed_up)
print(f"Google's form, 0.01, with 20 steps of warm-up: {'lost' if late['loss'][-1] > 1 else 'learnt'}")
assert late["loss"][-1] > 1

# %%
figure = new_figure(5.2)
upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.4])
shown = [
    "SGD, 0.3",
    "Adam, 0.003",
    "Google's form, 0.003",
    "Google's form, 0.01",
    "Adam, 0.036",
    "Adam, 0.036, warm-up",
]
for i, name in enumerate(shown):
    style = {"color": COLORS[i], "label": name, "linestyle": "-" if i % 2 == 0 else "--"}
    upper.plot(runs[name]["loss"], **style)
    lower.plot([size or math.nan for size in runs[name]["moved"]], **style)  # the first step of a warm-up is 0
upper.axhline(blind, color="#57606a", linewidth=1, linestyle=":")
upper.text(STEPS - 1, blind * 1.4, "knowing only the frequencies", ha="right", fontsize=9, color="#57606a")
upper.set(yscale="log", ylabel="loss", title="One run, six optimizers")
upper.legend(loc="lower left", frameon=False, fontsize=9)
lower.set(yscale="log", ylim=(1e-5, 0.1), xlabel="step", ylabel="RMS of a step")
for axes in (upper, lower):
    axes.grid(color="#d0d7de", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
figure

# %%
figure = new_figure(2.6)
axes = figure.add_subplot()
axes.plot(linear, color=COLORS[0], label="linear, counted from the end of the warm-up")
axes.plot(googles, color=COLORS[1], linestyle="--", label="Google's, counted from step 0")
axes.set(xlabel="step", ylabel="rate / highest rate", title="Two schedules, W = 20, T = 80")
axes.grid(color="#d0d7de", linewidth=0.6)
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## 6. Weight decay, next to the gradient and not in it
#
# Decay pulls each weight a little towards 0: for plain descent it does not matter whether $\lambda\theta$ is added to
# the gradient (as the derivative of $\frac\lambda2\theta^2$ in the loss, "L2") or taken off the weight: $\theta -
# \eta(g + \lambda\theta) = (1-\eta\lambda)\theta - \eta g$.
#
# For Adam it does. In the gradient, $\lambda\theta$ is divided by $\sqrt{\hat v}$ like everything else: weights with
# large gradients hardly decay. AdamW takes it out, so that all weights decay alike, by the factor $1-\eta\lambda$ a
# step. Two weights show it. Both start at 1 and get the same random gradients, but for one they are 100 times as large.

# %%
noise = rng.normal(size=400)
for name, in_gradient, decay in [("L2, in the gradient", 0.1, 0.0), ("AdamW, beside it", 0.0, 0.1)]:
    theta, m, v = np.ones(2), 0.0, 0.0
    for t, g in enumerate(noise, 1):
        g = g * np.array([1.0, 100.0]) + in_gradient * theta
        theta, m, v = adamw_step(theta, g, m, v, t, lr=0.01, decay=decay)
    print(f"{name:20s} after 400 steps: {theta[0]:.2f} and {theta[1]:.2f}")
    assert (abs(theta[0] - theta[1]) < 1e-6) == (name == "AdamW, beside it")

parameter = Parameter(np.array([5.0]))
optimizer = AdamW([parameter], lr=0.01, weight_decay=0.5)
for _ in range(100):
    parameter.accumulate(np.zeros(1))
    optimizer.step()
    optimizer.zero_grad()
agree("without any gradient, θ and (1 - ηλ)ᵗ θ", parameter.data, 5 * (1 - 0.01 * 0.5) ** 100)

# %% [markdown]
# Not everything should decay. The weights of products are many, and smaller ones mean a smoother function. A bias is
# only a place; a gain of LayerNorm has its natural value at 1, not at 0. `parameter_groups` makes two groups.

# %%
decays, spared = (dict(group["params"]) for group in parameter_groups(BertForMaskedLM(config), weight_decay=0.01))
for name, group in [("decay", decays), ("spared", spared)]:
    print(f"{name}: {len(group)} arrays with {sum(p.data.size for p in group.values()):,} numbers, such as")
    print("   ", ", ".join([path.removeprefix("bert.encoder.") for path in group][3:6]))
assert all(path.endswith("bias") or "LayerNorm" in path for path in spared)
assert not any(path.endswith("bias") or "LayerNorm" in path for path in decays)

# %% [markdown]
# In a run as short as ours, $\lambda = 0.01$ does nothing that could be seen: $(1 - 0.003 \cdot 0.01)^{80} = 0.998$. So
# we exaggerate by 300.

# %%
results = {"no decay": runs["Adam, 0.003"]}
results["decay"] = run(lambda model: AdamW(parameter_groups(model, 3.0), lr=3e-3))
results["decay for all"] = run(lambda model: AdamW(model.parameters(), lr=3e-3, weight_decay=3.0))
gains, weights = {}, {}
for name, result in results.items():
    parameters = dict(result["model"].named_parameters())
    gains[name] = np.mean([p.data.mean() for path, p in parameters.items() if path.endswith("LayerNorm.weight")])
    weights[name] = math.sqrt(np.mean([np.square(p.data).mean() for path, p in parameters.items() if path in decays]))
    print(f"{name:14s} loss {result['loss'][-1]:.2f}  RMS of weights {weights[name]:.3f}  mean gain {gains[name]:.2f}")
print(f"the factor of 80 steps of decay alone: {(1 - 3e-3 * 3) ** STEPS:.2f}")
assert weights["decay"] < weights["no decay"]
assert abs(gains["decay"] - gains["no decay"]) < 0.2
assert gains["decay for all"] < 0.8 * gains["decay"]

# %% [markdown]
# ## 7. Clipping: one bad step
#
# All gradients together are one long vector. If its norm is above a limit $c$ (1 for BERT), the whole vector is scaled
# down to it; its direction stays:
#
# $$g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g\rVert}\right).$$

# %%
model = BertForMaskedLM(config, dtype=np.float64, rng=0)
_, cache = model.forward(**batch)
model.backward(1.0, cache)
flat = np.concatenate([p.grad.ravel() for p in model.parameters()])
norm = clip_grad_norm_(model.parameters(), 1.0)
agree("the norm", norm, np.linalg.norm(flat))
clipped = np.concatenate([p.grad.ravel() for p in model.parameters()])
agree("the clipped gradient", clipped, flat / np.linalg.norm(flat), 2e-6)  # torch and we add 1e-6 to the norm
assert norm > 1

# %% [markdown]
# To clip every step by the same factor would do nothing under Adam, as section 3 showed. It is for the step that stands
# out. Say that at step 40 the gradient is 1000 times too large, because a loss was summed instead of averaged, or a
# file held garbage. Then $v$ jumps, and forgets it only over a thousand steps; all that time the steps are too small.
# How much? Before, $v \approx (1-\beta_2^{40})\,g^2 = 0.039\,g^2$; the bad step adds $0.001 \cdot 10^6 g^2$. So $\sqrt
# v$ grows by about $\sqrt{1000/0.039} \approx 160$, for a gradient that had been constant.


# %%
def adam(model):
    return AdamW(model.parameters(), lr=3e-3, weight_decay=0)


bad = {
    "all steps are good": runs["Adam, 0.003"],
    "step 40 is bad": run(adam, bad_step=40),
    "step 40 is bad, clipped": run(adam, max_norm=1.0, bad_step=40),
}
for name, result in bad.items():
    print(f"{name:24s} loss at step 40 {result['loss'][40]:.2f}, at 60 {result['loss'][60]:.2f}, at the end", end="")
    print(f" {result['loss'][-1]:.2f}")
assert bad["step 40 is bad"]["loss"][-1] > 5 * bad["all steps are good"]["loss"][-1]
assert bad["step 40 is bad, clipped"]["loss"][-1] < 1.2 * bad["all steps are good"]["loss"][-1]

states = [bad[name]["optimizer"].state.values() for name in ("all steps are good", "step 40 is bad")]
growth = [np.sqrt(b["exp_avg_sq"] / a["exp_avg_sq"])[a["exp_avg_sq"] > 0] for a, b in zip(*states, strict=True)]
typical = float(np.median(np.concatenate(growth)))
print(f"40 steps later the root of v is still {typical:.0f} times as large (median over all numbers)")
assert 10 < typical < 1000

# %%
figure = new_figure(3.2)
axes = figure.add_subplot()
for i, (name, result) in enumerate(bad.items()):
    axes.plot(result["loss"], color=COLORS[i], label=name, linestyle=("-", "-", "--")[i])
axes.set(yscale="log", xlabel="step", ylabel="loss", title="A gradient that is 1000 times too large, once")
axes.grid(color="#d0d7de", linewidth=0.6, which="both")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
figure

# %% [markdown]
# ## 8. The recipe of BERT
#
# Together: AdamW in Google's form with $\beta = (0.9, 0.999)$, $\epsilon = 10^{-6}$, decay 0.01 but for biases and
# norms, the rate up to $10^{-4}$ over 10,000 of 1,000,000 steps, then linearly down, gradients clipped at 1. You know
# now what each part is for. In the package it is
#
#     optimizer = AdamW(parameter_groups(model, 0.01), lr=1e-4, eps=1e-6, correct_bias=False)
#     schedule = get_google_schedule_with_warmup(optimizer, 10_000, 1_000_000)
#     for batch in batches:
#         outputs, cache = model.forward(**batch)
#         model.backward(1.0, cache)
#         clip_grad_norm_(model.parameters(), 1.0)
#         optimizer.step()
#         schedule.step()
#         optimizer.zero_grad()
#
# ## On your own
#
# 1. Find the highest rate at which Adam without warm-up still learns the batch. How does it change with two layers
#    instead of four, and with eight?
# 2. Warm up over 5, 10, 40 steps at the rate 0.036. Which part of the warm-up is it that matters?
# 3. Give `adamw_step` its $\epsilon$ inside the root. For which gradients is the step different? Which of the
#    parameters of section 2 have such gradients?
# 4. Set $\beta_2 = 0.98$ in the run with the bad step. Why does it recover sooner, and what does that cost?
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `sgd_update`, `adamw_update`, `AdamW._rule`, `parameter_groups`, `clip_grad_norm_`,
# `get_linear_schedule_with_warmup`, `get_google_schedule_with_warmup` and `get_cosine_schedule_with_warmup`. Section 3
# has some of them in another form; close this page before you write them.
#
# ## Further reading
#
# - Adam: Kingma and Ba 2014, arXiv 1412.6980, algorithm 1 and section 3 (the bias correction).
# - AdamW: Loshchilov and Hutter 2017, arXiv 1711.05101, section 2.
# - BERT's recipe: Devlin et al. 2018, arXiv 1810.04805, appendix A.2. What the missing correction does to fine-tuning:
#   Zhang et al. 2020, arXiv 2006.05987, section 4.
# - Why post-LN wants a warm-up: Xiong et al. 2020, arXiv 2002.04745, sections 3.2 and 3.3.
# - Clipping: Pascanu et al. 2012, arXiv 1211.5063, section 3.2.
# - In the package: `bert_numpy/training/updates.py` (the arithmetic), `optimizers.py`, `schedules.py`, `gradients.py`.
