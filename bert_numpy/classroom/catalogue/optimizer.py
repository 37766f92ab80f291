"""Clipping and the optimizer: norms, updates in place, bias correction, what decays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...models.pretraining_heads import BertForMaskedLM
from ...nn.module import Parameter
from ..exercise import Cases, Chapter, Exercise, Mistake
from ..inputs import generator, randomized, small_config


def _parameter(data: np.ndarray, grad: np.ndarray | None) -> Parameter:
    parameter = Parameter(data)
    if grad is not None:
        parameter.accumulate(grad)
    return parameter


def _clipping_inputs(rng: np.random.Generator) -> Cases:
    def case(scale: float, max_norm: float, broken: float = 1.0) -> tuple[object, ...]:
        grads = [scale * rng.standard_normal((3, 4)), None, 5 * scale * rng.standard_normal(6)]
        assert grads[0] is not None
        grads[0][1, 2] *= broken
        shapes = [(3, 4), (2,), (6,)]
        return [_parameter(np.zeros(shape), grad) for shape, grad in zip(shapes, grads, strict=True)], max_norm

    return [case(1.0, 1.0), case(0.01, 1.0), case(2.0, 0.5), case(1.0, math.inf), case(1.0, 1.0, broken=math.inf)]


def _sgd_inputs(rng: np.random.Generator) -> Cases:
    def case(**numbers: float) -> tuple[object, ...]:
        return {"data": rng.standard_normal((3, 4)), "grad": rng.standard_normal((3, 4))}, numbers

    return [case(lr=0.1, weight_decay=0.3), case(lr=2.0, weight_decay=0.0)]


def _adamw_inputs(rng: np.random.Generator) -> Cases:
    def case(**numbers: float) -> tuple[object, ...]:
        arrays = dict(zip(("data", "grad", "exp_avg", "exp_avg_sq"), rng.standard_normal((4, 3, 5)), strict=True))
        arrays["exp_avg_sq"] **= 2
        return arrays, numbers

    return [
        case(beta1=0.9, beta2=0.99, step_size=0.1, eps=1e-8, decay=0.9),
        case(beta1=0.5, beta2=0.8, step_size=0.3, eps=0.2, decay=1.0),
    ]


def _rule_inputs(rng: np.random.Generator) -> Cases:
    shapes = ((3, 4), (5,))

    def steps(*missing: tuple[int, int]) -> list[Any]:
        given = [[rng.standard_normal(shape) for shape in shapes] for _ in range(4)]
        return [[None if (i, k) in missing else g for k, g in enumerate(step)] for i, step in enumerate(given)]

    def weights() -> list[np.ndarray]:
        return [rng.standard_normal(shape) for shape in shapes]

    options: dict[str, Any] = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 0.1, "weight_decay": 0.4}
    return [
        (weights(), steps(), {**options, "correct_bias": True}),
        (weights(), steps((0, 1), (2, 0)), {**options, "correct_bias": True, "weight_decay": 0.0}),
        (weights(), steps(), {**options, "correct_bias": False}),
    ]


def _group_inputs(rng: np.random.Generator) -> Cases:
    model = BertForMaskedLM(small_config(num_hidden_layers=1), dtype=np.float64, rng=generator(rng))
    return [(randomized(model, rng), 0.01)]


BY_NAME = "    exempt |= {p for name, p in named if any(re.search(rule, name.lower()) for rule in no_decay)}\n"

CHAPTER = Chapter(
    slug="optimizer",
    title="Clipping and the optimizer",
    about="What happens between the gradients and the weights.  Everything here is written in place: the optimizer "
    "owns the weights, and a copy of them would cost memory.  Tutorial 9 shows what each piece does to one run.",
    exercises=(
        Exercise(
            target="bert_numpy.training.gradients:clip_grad_norm_",
            parts=("_sum_of_squares",),
            omits=("error_if_nonfinite : bool", "Raises"),
            title="Clipping by the global norm",
            points=5,
            minutes=15,
            tutorial=9,
            call="clip",
            inputs=_clipping_inputs,
            notes="`parameters` is a list here, and no error is asked for.  Write into the gradients; return the norm "
            "as a float.  `blocks` only makes it fast; do without it.",
            hints=(
                "All gradients together are one long vector.  What is its length?",
                "Squares add up over all tensors; one root is taken at the end.  A parameter without a gradient has "
                "`grad` None.",
                "One factor for all, as the docstring gives it, and only where it is below 1 and the norm is finite.  "
                "`grad *= factor` writes in place.",
            ),
            mistakes=(
                Mistake(
                    "each tensor by itself",
                    "            np.multiply(grad, factor, out=grad)",
                    "            own = max_norm / (math.sqrt(_sum_of_squares(grad)) + 1e-6)\n"
                    "            np.multiply(grad, min(own, 1.0), out=grad)",
                    "Each tensor is clipped to its own norm, so that the direction of the step changes.  One factor "
                    "is for all.",
                ),
                Mistake(
                    "small gradients blown up",
                    "if factor < 1:",
                    "if True:",
                    "Gradients whose norm is below the limit are scaled up to it.  Clipping only makes smaller.",
                ),
                Mistake(
                    "sum of norms",
                    "math.sqrt(sum(_sum_of_squares(block) for grad in grads for (block,) in blocks(grad)))",
                    "sum(math.sqrt(_sum_of_squares(block)) for grad in grads for (block,) in blocks(grad))",
                    "The norms of the tensors are added.  Lengths along different directions add by their squares.",
                ),
                Mistake(
                    "no root",
                    "math.sqrt(sum(_sum_of_squares(block) for grad in grads for (block,) in blocks(grad)))",
                    "sum(_sum_of_squares(block) for grad in grads for (block,) in blocks(grad))",
                    "The square of the norm is taken for the norm.",
                ),
                Mistake(
                    "clipped by value",
                    "            np.multiply(grad, factor, out=grad)",
                    "            np.clip(grad, -max_norm, max_norm, out=grad)",
                    "Each entry is cut off at the limit.  It is the length of the whole that has a limit.",
                ),
                Mistake(
                    "norm after clipping returned",
                    "factor = max_norm / (norm + 1e-6)\n",
                    "factor = max_norm / (norm + 1e-6)\n    norm = min(norm, norm * factor)\n",
                    "What is returned is the norm after clipping.  Whoever watches a run wants to see it before.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.updates:sgd_update",
            title="Gradient descent, in place",
            points=2,
            minutes=5,
            tutorial=9,
            call="update",
            inputs=_sgd_inputs,
            notes="`scratch` is there to be written into; you need not use it.",
            hints=(
                "The formula in the docstring is all there is; `-=` writes into the array, `=` does not.",
                "The gradient is only read: what you compute from it goes into another array.",
                "Weights less a step; the step is the rate times a sum of two, the gradient and λ times the weights.",
            ),
            mistakes=(
                Mistake(
                    "uphill", "    data -= scratch", "    data += scratch", "The step goes uphill: the loss rises."
                ),
                Mistake(
                    "no decay",
                    "np.multiply(data, weight_decay, out=scratch)",
                    "scratch[...] = 0",
                    "`weight_decay` does not take part.",
                ),
                Mistake(
                    "decay not scaled by the rate",
                    "    scratch += grad\n    scratch *= lr\n",
                    "    scratch += lr * grad\n",
                    "The decay is not multiplied by the rate.  Both terms are in the bracket.",
                ),
                Mistake(
                    "decay grows the weights",
                    "np.multiply(data, weight_decay, out=scratch)",
                    "np.multiply(data, -weight_decay, out=scratch)",
                    "The decay has the wrong sign: weights grow.",
                ),
                Mistake(
                    "gradient overwritten",
                    "    scratch += grad\n",
                    "    grad += scratch\n    scratch[...] = grad\n",
                    "The step is right, but the gradient is changed: whoever adds to it next adds to something else.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.updates:adamw_update",
            title="AdamW, one update in place",
            points=8,
            minutes=20,
            needs=("sgd_update",),
            tutorial=9,
            call="update",
            inputs=_adamw_inputs,
            notes="`scratch` is there to be written into; you need not use it.  Bias correction is in `step_size` and "
            "`eps` already, and the rate in `decay`.",
            hints=(
                "Three lines of the docstring, three steps: the mean of gradients, the mean of their squares, the "
                "weights.",
                "`a *= b` writes in place.  An old mean shrinks, then what the new gradient brings is added to it.  "
                "The weights use m and v as they are then.",
                "The root is that of v alone; eps comes after it.  The weights are multiplied by `decay`, and then the "
                "step is subtracted.",
            ),
            mistakes=(
                Mistake(
                    "eps inside the root",
                    "    np.sqrt(exp_avg_sq, out=scratch)\n    scratch += eps\n",
                    "    np.sqrt(exp_avg_sq + eps, out=scratch)\n",
                    "eps is added before the root.  With 1e-8 there the smallest divisor would be 1e-4.",
                ),
                Mistake(
                    "no root",
                    "np.sqrt(exp_avg_sq, out=scratch)",
                    "scratch[...] = exp_avg_sq",
                    "The step is divided by v itself: it would not have the size of a step, but of one over a "
                    "gradient.",
                ),
                Mistake(
                    "gradient not squared",
                    "np.multiply(grad, grad, out=scratch)",
                    "np.abs(grad, out=scratch)",
                    "v gathers magnitudes.  It is the mean of squares, of which the root is taken later.",
                ),
                Mistake(
                    "β exchanged",
                    "np.multiply(grad, 1 - beta1, out=scratch)",
                    "np.multiply(grad, beta1, out=scratch)",
                    "m is mostly the new gradient: β1 stands before the old mean, 1-β1 before the gradient.",
                    also=(("exp_avg *= beta1", "exp_avg *= 1 - beta1"),),
                ),
                Mistake(
                    "sums instead of means",
                    "np.multiply(grad, 1 - beta1, out=scratch)",
                    "scratch[...] = grad",
                    "m adds up whole gradients, as in momentum.  In Adam each brings 1-β1 of itself.",
                ),
                Mistake(
                    "weights from the old means",
                    "    np.sqrt(exp_avg_sq, out=scratch)\n    scratch += eps\n"
                    "    np.divide(exp_avg, scratch, out=scratch)",
                    "    np.sqrt((exp_avg_sq - (1 - beta2) * grad * grad) / beta2, out=scratch)\n    scratch += eps\n"
                    "    np.divide((exp_avg - (1 - beta1) * grad) / beta1, scratch, out=scratch)",
                    "The weights move by m and v as they were before this gradient.  Update the means first.",
                ),
                Mistake(
                    "decay after the step",
                    "    data *= decay\n    data -= scratch",
                    "    data -= scratch\n    data *= decay",
                    "The step itself is decayed.  `decay` multiplies the weights alone.",
                ),
                Mistake(
                    "decay through the gradient",
                    "np.multiply(grad, 1 - beta1, out=scratch)",
                    "grad = grad + (1 - decay) / step_size * data\n    np.multiply(grad, 1 - beta1, out=scratch)",
                    "The decay is added to the gradient, so that Adam divides it away again: that is L2 "
                    "regularization, which Adam had before AdamW.",
                    also=(("    data *= decay\n", ""),),
                ),
                Mistake("uphill", "data -= scratch", "data += scratch", "The step goes uphill: the loss rises."),
            ),
        ),
        Exercise(
            target="bert_numpy.training.optimizers:AdamW._rule",
            title="AdamW, bias correction",
            points=8,
            minutes=25,
            needs=("adamw_update",),
            tutorial=9,
            call="rule",
            inputs=_rule_inputs,
            notes="The optimizer calls this method in each step, once for every parameter that has a gradient.  The "
            "method keeps `self.state`, a dict that is empty at first: when a parameter comes for the first time, put "
            'a dict at `self.state[parameter]`, with "exp_avg" and "exp_avg_sq", arrays of zeros of its shape and '
            'dtype, and "step", the number of steps that this parameter has taken, the present one included.  `group` '
            'is a dict with "lr", "betas", "eps", "weight_decay" and "correct_bias".  Do not update the parameter '
            "here.  Return two things: a function of (data, grad, exp_avg, exp_avg_sq, scratch) that will do it, and "
            "the list of the two arrays.  `adamw_update` is given, and `functools.partial` gives it the numbers.",
            hints=(
                "`adamw_update` knows no bias correction.  Which step_size, eps and decay make it do what the class "
                "says?",
                "m̂ / (√v̂ + ε), with c1 = 1-β1ᵗ and c2 = 1-β2ᵗ: multiply above and below by √c2, and m / (√v + ...) "
                "is left, with one factor before it.  t is 1 at the first step.",
                "That factor goes into step_size, and eps is multiplied by √c2.  The decay takes the plain rate: "
                "θ loses lr λ of itself.",
            ),
            mistakes=(
                Mistake(
                    "no bias correction",
                    'if group["correct_bias"]:',
                    "if False:",
                    "The means are not corrected: m and v begin at 0 and are too small, so that the first steps are of "
                    "another size.",
                ),
                Mistake(
                    "always corrected",
                    'if group["correct_bias"]:',
                    "if True:",
                    "The means are corrected even with `correct_bias=False`, which is the form of Google's BERT.",
                ),
                Mistake(
                    "one step ahead",
                    'root = math.sqrt(1 - beta2 ** state["step"])',
                    'root = math.sqrt(1 - beta2 ** (state["step"] + 1))',
                    "The correction is that of the next step: t is 1 at the first.",
                    also=(('root / (1 - beta1 ** state["step"])', 'root / (1 - beta1 ** (state["step"] + 1))'),),
                ),
                Mistake(
                    "β exchanged",
                    'root = math.sqrt(1 - beta2 ** state["step"])',
                    'root = math.sqrt(1 - beta1 ** state["step"])',
                    "m is corrected with β2 and v with β1.",
                    also=(('root / (1 - beta1 ** state["step"])', 'root / (1 - beta2 ** state["step"])'),),
                ),
                Mistake(
                    "no root in the correction",
                    'root = math.sqrt(1 - beta2 ** state["step"])',
                    'root = 1 - beta2 ** state["step"]',
                    "v is corrected without its root.  It is √v̂ that divides.",
                ),
                Mistake(
                    "corrected twice",
                    'step_size *= root / (1 - beta1 ** state["step"])',
                    'step_size *= (root / (1 - beta1 ** state["step"])) ** 2',
                    "The correction is applied twice.",
                ),
                Mistake(
                    "eps not scaled",
                    "            eps *= root\n",
                    "",
                    "eps stays as it is while √v̂ is replaced by √v: it weighs more than it should in the first steps.",
                ),
                Mistake(
                    "decay without the rate",
                    'decay = 1 - lr * float(group["weight_decay"])',
                    'decay = 1 - float(group["weight_decay"])',
                    "The decay is not multiplied by the rate: with λ = 0.01 a weight would be halved in 69 steps.",
                ),
                Mistake(
                    "decay with the corrected rate",
                    'decay = 1 - lr * float(group["weight_decay"])',
                    'decay = 1 - step_size * float(group["weight_decay"])',
                    "The decay takes the corrected step size.  Bias correction is about m and v; the decay has "
                    "neither.",
                ),
                Mistake(
                    "no decay",
                    'decay = 1 - lr * float(group["weight_decay"])',
                    "decay = 1.0",
                    "`weight_decay` does not take part.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.optimizers:parameter_groups",
            title="What decays and what does not",
            points=3,
            minutes=15,
            tutorial=9,
            inputs=_group_inputs,
            notes="`no_decay` holds patterns for `re.search`.  Both groups keep the order of "
            "`model.named_parameters()`.",
            hints=(
                "Decay pulls weights to 0.  For which parameters is 0 no sensible place?",
                "Two ways to be left out: by name, in lower case, or by belonging to a LayerNorm, whatever its name.",
                "`model.named_modules()` finds the norms; their parameters are objects, which a set may hold.",
            ),
            mistakes=(
                Mistake(
                    "parameters without their names",
                    "[(name, p) for name, p in named if p not in exempt]",
                    "[p for name, p in named if p not in exempt]",
                    "The groups hold parameters.  Asked for are pairs of a name and a parameter.",
                    also=(
                        (
                            "[(name, p) for name, p in named if p in exempt]",
                            "[p for name, p in named if p in exempt]",
                        ),
                    ),
                ),
                Mistake(
                    "everything decays",
                    "p not in exempt",
                    "p is not None",
                    "The first group holds all parameters, those of the second too.",
                ),
                Mistake(
                    "gains of the norms decay",
                    "    exempt = {parameter for norm in norms for parameter in norm.parameters()}\n"
                    "    exempt |= {p for name, p in named if any(re.search(rule, name.lower()) for rule in no_decay)}",
                    '    exempt = {p for name, p in named if name.endswith("bias")}',
                    "Only biases are left out.  The gains of the norms decay: 1 is their place, not 0.",
                ),
                Mistake(
                    "biases decay",
                    BY_NAME,
                    "",
                    "Only the norms are left out.  The biases of all other layers decay.",
                ),
                Mistake(
                    "embeddings do not decay",
                    BY_NAME,
                    BY_NAME + '    exempt |= {p for name, p in named if "embeddings" in name}\n',
                    "The embeddings are left out too.  In BERT they decay like every other matrix.",
                ),
                Mistake(
                    "both groups decay",
                    'in exempt], "weight_decay": 0.0}',
                    'in exempt], "weight_decay": weight_decay}',
                    "The second group has the decay of the first.",
                ),
                Mistake(
                    "groups exchanged",
                    "p not in exempt",
                    "p in {*exempt}",
                    "Biases and norms decay, and the matrices do not: the groups are exchanged.",
                    also=(
                        (
                            'for name, p in named if p in exempt], "weight',
                            'for name, p in named if p not in {*exempt}], "weight',
                        ),
                    ),
                ),
            ),
        ),
    ),
)
