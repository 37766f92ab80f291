"""Right answers that are written in another way than the library's pass: formulas of the papers, loops, einsum.

They are oracles too: if one fails, either the library is wrong, or the exercise asks for more than it says.
"""

import math
import re
from collections import Counter

import numpy as np
import pytest

from bert_numpy.classroom.catalogue import find
from bert_numpy.classroom.comparing import Answers
from bert_numpy.classroom.feedback import give_feedback
from bert_numpy.nn import functional as F
from bert_numpy.training.schedules import LambdaLR


def additive_mask(attention_mask, shape, dtype):
    rows = np.array(attention_mask).reshape(shape[0], 1, -1, shape[1])
    return np.where(rows, 0, np.finfo(dtype).min).astype(dtype)


def scaled_dot_product_attention_forward(query, key, value, mask=None, dropout_p=0.0, rng=None):
    scores = np.einsum("basd,batd->bast", query, key) / math.sqrt(query.shape[-1])
    weights, _ = F.softmax_forward(scores if mask is None else scores + mask)
    weights, _ = F.dropout_forward(weights, dropout_p, rng)
    return (np.einsum("bast,batd->basd", weights, value), weights), None


def scaled_dot_product_attention_backward(dcontext, dprobs, cache):
    query, key, value, probs, softmax_cache, dropout_cache = cache
    dweights = np.einsum("basd,batd->bast", dcontext, value) + dprobs
    kept = F.dropout_backward(dweights, dropout_cache)
    jacobian = np.einsum("basi,ij->basij", softmax_cache, np.eye(softmax_cache.shape[-1], dtype=query.dtype))
    jacobian -= np.einsum("basi,basj->basij", softmax_cache, softmax_cache)
    dscores = np.einsum("basij,basj->basi", jacobian, kept) / math.sqrt(query.shape[-1])
    dkey = np.einsum("bast,basd->batd", dscores, query)
    return np.einsum("bast,batd->basd", dscores, key), dkey, np.einsum("bast,basd->batd", probs, dcontext)


def split_heads(self, x):
    return np.stack(np.split(x, self.num_attention_heads, axis=-1), axis=1)


def merge_heads(self, x):
    return np.concatenate([x[:, a] for a in range(x.shape[1])], axis=-1)


def encoder_backward(self, dhidden_states, dall_hidden_states, dattentions, cache):
    for layer, layer_cache in zip(self.layer[::-1], cache[0][::-1], strict=True):  # the caches stay in the list
        dhidden_states = layer.backward(dhidden_states, None, layer_cache)
    return dhidden_states


def widen(bits):
    sign, exponent, mantissa = bits >> 15, (bits >> 7) & 255, (bits & 127) / 128
    size = np.where(exponent == 0, mantissa * 2.0**-126, (1 + mantissa) * 2.0 ** (exponent.astype(float) - 127))
    size = np.where(exponent == 255, np.inf, size)
    return np.copysign(size, np.where(sign, -1.0, 1.0)).astype(np.float32)


def canonical_name(name):
    return re.sub(
        r"(^|\.)LayerNorm\.(gamma|beta)$",
        lambda found: f"{found[1]}LayerNorm.{'weight' if found[2] == 'gamma' else 'bias'}",
        re.sub(r"^module\.", "", name),
    )


def compute_f1(gold, prediction):
    def words(text):
        bare = re.sub(r"[^\w\s]", "", text.lower())
        return Counter(word for word in bare.split() if word not in ("a", "an", "the"))

    wanted, found = words(gold), words(prediction)
    shared = sum(min(wanted[word], found[word]) for word in wanted)
    if not wanted or not found or not shared:
        return float(wanted == found)
    precision, recall = shared / sum(found.values()), shared / sum(wanted.values())
    return 2 / (1 / precision + 1 / recall)


def numeric_gradient(f, x, h=1e-6):
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        before = x[i].copy()
        values = []
        for step in (h, -h):
            x[i] = before + step
            values.append(f() / h)
        x[i] = before
        gradient[i] = (values[0] - values[1]) / 2
    return gradient


def clip_grad_norm(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = float(np.linalg.norm(np.concatenate([grad.ravel() for grad in grads])))
    for grad in grads:
        if math.isfinite(norm):
            grad[...] = grad * min(1.0, max_norm / (norm + 1e-6))
    return norm


def adamw_update(data, grad, exp_avg, exp_avg_sq, scratch, *, beta1, beta2, step_size, eps, decay):
    exp_avg[...] = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq[...] = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    data[...] = decay * data - step_size * exp_avg / (np.sqrt(exp_avg_sq) + eps)


def adamw_rule(self, parameter, group):
    """The formula of the paper, with corrected means, and no use of `adamw_update`."""
    fresh = {"step": 0, "exp_avg": np.zeros_like(parameter.data), "exp_avg_sq": np.zeros_like(parameter.data)}
    state = self.state.setdefault(parameter, fresh)
    state["step"] += 1
    (beta1, beta2), t = group["betas"], state["step"]

    def update(data, grad, m, v, scratch):
        m += (1 - beta1) * (grad - m)
        v += (1 - beta2) * (grad**2 - v)
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if group["correct_bias"] else (1, 1)
        step = (m / c1) / (np.sqrt(v / c2) + group["eps"]) + group["weight_decay"] * data
        data -= group["lr"] * step

    return update, [state["exp_avg"], state["exp_avg_sq"]]


def linear_schedule(optimizer, num_warmup_steps, num_training_steps, last_epoch=-1):
    W, T = num_warmup_steps, num_training_steps

    def factor(t):
        return float(np.interp(t, [0, W, T], [0, 1, 0])) if 0 < W < T else (t / W if t < W else max(0, 1 - t / T))

    return LambdaLR(optimizer, factor)


def google_schedule(optimizer, num_warmup_steps, num_training_steps, last_epoch=-1):
    T = num_training_steps
    rates = [t / num_warmup_steps if t < num_warmup_steps else 1 - t / T for t in range(T)]
    return LambdaLR(optimizer, lambda t: rates[t] if t < T else 0.0)


def training_step(self, model, inputs, scale=1.0):
    outputs, cache = model.forward(**inputs)
    dlogits = F.cross_entropy_backward(scale, F.cross_entropy_forward(outputs.logits, inputs["labels"])[1])
    model.backward(type(outputs)(logits=dlogits), cache)  # not through the model's own loss
    return float(outputs.loss)


ANSWERS = {
    "additive_mask": additive_mask,
    "scaled_dot_product_attention_forward": scaled_dot_product_attention_forward,
    "scaled_dot_product_attention_backward": scaled_dot_product_attention_backward,
    "BertSelfAttention._split_heads": split_heads,
    "BertSelfAttention._merge_heads": merge_heads,
    "BertEncoder.backward": encoder_backward,
    "widen": widen,
    "canonical_name": canonical_name,
    "compute_f1": compute_f1,
    "numeric_gradient": numeric_gradient,
    "clip_grad_norm_": clip_grad_norm,
    "adamw_update": adamw_update,
    "AdamW._rule": adamw_rule,
    "get_linear_schedule_with_warmup": linear_schedule,
    "get_google_schedule_with_warmup": google_schedule,
    "Trainer.training_step": training_step,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_another_way_of_writing_it_passes(name):
    answers = Answers(find(name), seed=3)
    assert give_feedback(answers, answers.of(ANSWERS[name])).lines == ()
