"""Losses, forward and backward: squared error, cross-entropy, and cross-entropy for many labels at once."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant

_SMOOTHED = "Here, labels are smoothed by 0.1: the target is 0.9 for the label, plus 0.1/C for each of the C classes"
_LOG_SOFTMAX = (
    "log_probs = chosen - chosen.max(axis=-1, keepdims=True)\n"
    "    log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))"
)


def _mse(rng: np.random.Generator) -> Cases:
    def case(*shape: int) -> tuple[np.ndarray, ...]:
        return rng.standard_normal(shape), 2 * rng.standard_normal(shape)

    return [case(3, 5), case(7), case(2, 3, 4)]


def _binary(rng: np.random.Generator) -> Cases:
    def case(*shape: int) -> tuple[np.ndarray, ...]:
        return 2 * rng.standard_normal(shape), rng.integers(0, 2, shape).astype(np.float64)

    x, target = case(3, 5)
    x[0, :3], target[0, :3] = (800.0, -800.0, 900.0), (0, 1, 1)
    return [case(4, 3), (x, target), case(2, 3, 4)]


def _cross_entropy(rng: np.random.Generator) -> Cases:
    def case(C: int, *shape: int, ignored: int = -100) -> tuple[object, ...]:
        labels = rng.integers(1, C, shape)
        labels.flat[1::3] = ignored
        labels.flat[2] = 0
        return 2 * rng.standard_normal((*shape, C)), labels, ignored

    logits, labels, ignored = case(7, 8, ignored=-1)
    far = 1000 + np.asarray(logits)
    spread = 0.01 * np.asarray(logits)
    spread[0, np.asarray(labels)[0] - 1] = 300.0  # a confident mistake: the share of the label rounds to 0
    none_counts = np.full(8, ignored)
    return [
        case(103, 2, 5),  # more than 100 classes: there, -100 is a place in the row
        case(6, 3, 4, ignored=-1),
        (far, labels, ignored),
        (spread, labels, ignored),
        (np.asarray(logits), none_counts, ignored),
    ]


CHAPTER = Chapter(
    slug="losses",
    title="Losses",
    about="One number that says how wrong the outputs are, and where every gradient begins.  Each loss here is a mean; "
    "what it is a mean over is where most mistakes are made.  A backward receives `dloss`, the gradient of the loss "
    "itself: 1 in the simplest case, but not always.  Tutorial 8.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:mse_loss_forward",
            title="Mean squared error, forward",
            points=2,
            minutes=5,
            tutorial=8,
            inputs=_mse,
            notes="The cache of the library is the difference of x and target.",
            hints=(
                "Difference, square, mean: in this order.",
                "The mean is over all elements, whatever the shape: one number.",
                "`np.square` of the difference, and its `mean()` without an axis.",
            ),
            mistakes=(
                Mistake(
                    "a sum",
                    "np.square(difference).mean()",
                    "np.square(difference).sum()",
                    "The squares are summed.  With a mean, the learning rate need not change with the size of the "
                    "batch.",
                ),
                Mistake(
                    "a mean over the first axis",
                    "np.square(difference).mean()",
                    "np.square(difference).sum() / len(difference)",
                    "The squares are divided by the length of the first axis.  Here the mean is over all elements.",
                ),
                Mistake(
                    "half of it",
                    "np.square(difference).mean()",
                    "0.5 * np.square(difference).mean()",
                    "Some books put a ½ before the squares, to save a 2 in the gradient.  Here there is none.",
                ),
                Mistake(
                    "the root of it",
                    "np.square(difference).mean()",
                    "np.sqrt(np.square(difference).mean())",
                    "This is the root of the mean, which is reported, but not minimised here.",
                ),
                Mistake(
                    "absolute error",
                    "np.square(difference).mean()",
                    "np.abs(difference).mean()",
                    "The mean of the distances, not of their squares.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:mse_loss_backward",
            of="bert_numpy.nn.functional:mse_loss_forward",
            title="Mean squared error, backward",
            points=3,
            minutes=5,
            needs=("mse_loss_forward",),
            tutorial=8,
            inputs=_mse,
            notes="The cache is the difference x - target.  The target is data and receives no gradient.",
            hints=(
                "One element contributes its square, divided by the number of all elements.",
                "The derivative of d² is 2d, and that of d in x is 1.  The count is `size`, not `len`.",
                "2 d / n for each element, times dloss.  Make dloss a `float`, so that float32 stays float32.",
            ),
            mistakes=(
                Mistake(
                    "the 2 is missing",
                    "(2 * float(dloss)",
                    "(float(dloss)",
                    "The derivative of a square has a factor.",
                ),
                Mistake(
                    "not divided by the count",
                    " / difference.size",
                    "",
                    "This is the gradient of the sum.  The loss is a mean.",
                ),
                Mistake(
                    "divided by the first axis",
                    "difference.size",
                    "len(difference)",
                    "The count is the length of the first axis.  The mean of the forward is over all elements.",
                ),
                Mistake(
                    "dloss left out",
                    "2 * float(dloss)",
                    "2",
                    "dloss does not take part.  It is not always 1: several losses may be added with weights.",
                ),
                Mistake(
                    "wrong sign",
                    "return difference",
                    "return -difference",
                    "The gradient points down.  It shows where the loss grows; the optimizer goes the other way.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:cross_entropy_forward",
            title="Cross-entropy, forward",
            points=8,
            minutes=25,
            needs=("softmax_forward",),
            tutorial=8,
            inputs=_cross_entropy,
            notes="The library keeps for its backward: the log-probabilities of the live rows (N, C), which labels are "
            "live, the labels, and the number N that it divided by.  `labels` may have any shape; `logits` has one "
            "more axis.",
            hints=(
                "Take out the rows that count first: `logits[live]` with an array of bool is (N, C), whatever the "
                "leading axes were.  Everything after that is two-dimensional.",
                "log softmax is a row minus the log of the sum of its exponentials.  Subtract the maximum of the row "
                "before; never take the log of a share, which may have become 0.",
                "From each of the N rows pick the entry of its label: index with (0, 1, ..., N-1) and the labels.  "
                "Minus the sum of these, divided by N; or 0 where N is 0, so divide by the larger of N and 1.",
            ),
            mistakes=(
                Mistake(
                    "mean over all positions",
                    "count = max(len(chosen), 1)",
                    "count = labels.size",
                    "The sum is divided by the number of all labels.  Those that are ignored do not count in the mean "
                    "either; else the loss shrinks when a batch has more padding.",
                ),
                Mistake(
                    "ignored labels are counted",
                    "live = labels != ignore_index",
                    "live = np.ones(labels.shape, bool)",
                    "Positions with `ignore_index` take part.  As an index, -100 is the hundredth class from the end, "
                    "and NumPy takes it without a word.",
                ),
                Mistake(
                    "label 0 is ignored",
                    "live = labels != ignore_index",
                    "live = (labels != ignore_index) & (labels != 0)",
                    "Labels that are 0 do not count.  0 is a class as any other: in next sentence prediction it means "
                    "that the sentence follows.",
                ),
                Mistake(
                    "no shift",
                    "log_probs = chosen - chosen.max(axis=-1, keepdims=True)",
                    "log_probs = chosen.copy()",
                    "Right for small logits; for large ones exp overflows.  log softmax does not change when a row is "
                    "shifted.",
                ),
                Mistake(
                    "log of a share that is 0",
                    "log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))",
                    "log_probs = np.log(np.exp(log_probs) / np.exp(log_probs).sum(axis=-1, keepdims=True))",
                    "The log is taken of the shares.  Where the model is sure of another class, the share of the label "
                    "rounds to 0 and its log is infinite.  Take the log by hand: log exp(z) is z.",
                ),
                Mistake(
                    "a sum",
                    "logits.dtype.type(count)",
                    "logits.dtype.type(1)",
                    "The terms are summed.  Divide by the number of labels that count.",
                ),
                Mistake(
                    "wrong sign",
                    "(zero - of_labels",
                    "(zero + of_labels",
                    "The loss is negative.  Logs of shares are negative or 0, and a loss is to be small where they are "
                    "near 0.",
                ),
                Mistake(
                    "NaN when nothing counts",
                    "max(len(chosen), 1)",
                    "len(chosen)",
                    "Where no label counts you divide 0 by 0.  One such batch would spread NaN to every weight.",
                ),
                Mistake(
                    "softmax taken twice",
                    _LOG_SOFTMAX,
                    "log_probs, _ = softmax_forward(chosen)\n"
                    "    log_probs = log_probs - np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))",
                    "The logits go through softmax before log softmax is taken of them.  The model still learns, "
                    "slowly: shares are at most 1, so the loss never gets near 0.",
                ),
            ),
            variants=(
                Variant(
                    "label-smoothing",
                    "of_labels = log_probs[np.arange(len(chosen)), labels[live]]",
                    "of_labels = 0.9 * log_probs[np.arange(len(chosen)), labels[live]] + 0.1 * log_probs.mean(axis=-1)",
                    _SMOOTHED + ".  The example of the docstring still holds.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:cross_entropy_backward",
            of="bert_numpy.nn.functional:cross_entropy_forward",
            title="Cross-entropy, backward",
            points=8,
            minutes=20,
            needs=("cross_entropy_forward",),
            tutorial=8,
            inputs=_cross_entropy,
            notes="In the cache: log_probs (N, C), log softmax of the N rows that count; live, an array of bool of the "
            "shape of the labels, True where a label counts; labels (...); count, what the forward divided by.  "
            "dlogits is (..., C).",
            hints=(
                "Of one row, -log softmax(z)[label] is to be derived: it is -z[label] plus the log of a sum of "
                "exponentials.",
                "The first term gives -1 at the label, the second gives softmax.  You have its log.",
                "Shares, minus 1 at the label of each row; times dloss, divided by count.  Put the N rows into zeros "
                "of the full shape, where live is True; and leave the cache as it was.",
            ),
            mistakes=(
                Mistake(
                    "the label is missing",
                    "    dchosen[np.arange(len(dchosen)), labels[live]] -= 1\n",
                    "",
                    "All classes are pushed down, the right one too.  Where does the label come in?",
                ),
                Mistake(
                    "not divided by the count",
                    "float(dloss) / count",
                    "float(dloss)",
                    "This is the gradient of the sum.  The loss is a mean.",
                ),
                Mistake(
                    "divided by all positions",
                    "float(dloss) / count",
                    "float(dloss) / labels.size",
                    "You divide by the number of all labels.  The mean of the forward is over those that count.",
                ),
                Mistake(
                    "dloss left out",
                    "dchosen *= float(dloss) / count",
                    "dchosen *= 1 / count",
                    "dloss does not take part.  BERT adds two losses, and others weight them.",
                ),
                Mistake(
                    "log-probabilities for probabilities",
                    "dchosen = np.exp(log_probs)",
                    "dchosen = log_probs.copy()",
                    "The cache holds logs.  The gradient has shares in it, between 0 and 1.",
                ),
                Mistake(
                    "wrong sign",
                    "dchosen *= float(dloss)",
                    "dchosen *= -float(dloss)",
                    "The gradient is turned around.  At the label it must be negative: a larger logit there, a smaller "
                    "loss.",
                ),
                Mistake(
                    "writes into the cache",
                    "dchosen = np.exp(log_probs)",
                    "dchosen = np.exp(log_probs, out=log_probs)",
                    "The result is right, but the cache is overwritten, and a second backward would get other numbers.",
                ),
                Mistake(
                    "float64 from np.zeros",
                    "np.zeros((*labels.shape, dchosen.shape[-1]), dchosen.dtype)",
                    "np.zeros((*labels.shape, dchosen.shape[-1]))",
                    "For logits in float32 the gradient is float64: np.zeros makes float64 unless it is told the "
                    "dtype.",
                ),
            ),
            variants=(
                Variant(
                    "label-smoothing",
                    "dchosen[np.arange(len(dchosen)), labels[live]] -= 1",
                    "dchosen[np.arange(len(dchosen)), labels[live]] -= 0.9\n    dchosen -= 0.1 / dchosen.shape[-1]",
                    _SMOOTHED + ".  This is the gradient of that loss.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:binary_cross_entropy_with_logits_forward",
            title="Cross-entropy for many labels at once, forward",
            points=5,
            minutes=15,
            needs=("cross_entropy_forward",),
            tutorial=11,
            inputs=_binary,
            notes="Each label is true or false by itself, so there is no softmax: each logit goes through the logistic "
            "function s alone.  The library keeps x and target.",
            hints=(
                "The formula with the two logs is right on paper.  What does it give for x = 1000, when the target is "
                "0?",
                "log s(x) is -log(1 + exp(-x)), and log(1 - s(x)) is that minus x.  With |x| in the exponential "
                "nothing can overflow.",
                "The docstring has the safe form, term by term.  `np.log1p(z)` is log(1 + z), exact for tiny z; the "
                "mean is over all elements.",
            ),
            mistakes=(
                Mistake(
                    "logs that overflow",
                    "np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))",
                    "-(target * np.log(1 / (1 + np.exp(-x))) + (1 - target) * np.log(1 - 1 / (1 + np.exp(-x))))",
                    "Right on paper; for large logits s(x) rounds to 0 or 1, and the log of 0 is infinite.  0 times "
                    "infinity is NaN.",
                ),
                Mistake(
                    "the sign of x is left in the exponential",
                    "-np.abs(x)",
                    "-x",
                    "log(1 + exp(-x)) goes with |x|, not with x: max(x, 0) has already taken the large part out.",
                ),
                Mistake(
                    "a sum",
                    ".mean()",
                    ".sum()",
                    "The terms are summed.  The loss is a mean.",
                ),
                Mistake(
                    "a mean over the first axis",
                    ".mean()",
                    ".sum() / len(x)",
                    "The sum is divided by the length of the first axis.  Here the mean is over all elements.",
                ),
                Mistake(
                    "target and its opposite exchanged",
                    "x * target",
                    "x * (1 - target)",
                    "The loss is small where the labels are wrong: the targets are exchanged with 1 minus themselves.",
                ),
                Mistake(
                    "softmax over the labels",
                    "np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))",
                    "-target * (x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, "
                    "keepdims=True)))",
                    "The labels compete in a softmax.  Here several can be true at once, or none.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:binary_cross_entropy_with_logits_backward",
            of="bert_numpy.nn.functional:binary_cross_entropy_with_logits_forward",
            title="Cross-entropy for many labels at once, backward",
            points=3,
            minutes=10,
            needs=("binary_cross_entropy_with_logits_forward",),
            tutorial=11,
            inputs=_binary,
            notes="In the cache: x and target, of the same shape.",
            hints=(
                "The log in the loss and the logistic function undo each other: what is left is very short.",
                "Write s(x) so that it cannot overflow: ½ (1 + tanh(x/2)) is the same function.",
                "s(x) - target for each element, times dloss, divided by the number of all elements.",
            ),
            mistakes=(
                Mistake(
                    "the slope of s once more",
                    "return (sigmoid - target)",
                    "return (sigmoid - target) * sigmoid * (1 - sigmoid)",
                    "s(x) - target is the gradient in x already.  The factor s (1 - s) belongs to the squared error of "
                    "s, and makes the gradient vanish where the model is sure and wrong.",
                ),
                Mistake(
                    "not divided by the count",
                    "(float(dloss) / x.size)",
                    "float(dloss)",
                    "This is the gradient of the sum.  The loss is a mean.",
                ),
                Mistake(
                    "divided by the first axis",
                    "x.size",
                    "len(x)",
                    "The count is the length of the first axis.  The mean of the forward is over all elements.",
                ),
                Mistake(
                    "dloss left out",
                    "(float(dloss) / x.size)",
                    "(1 / x.size)",
                    "dloss does not take part.  It is not always 1.",
                ),
                Mistake(
                    "wrong sign",
                    "return (sigmoid - target)",
                    "return (target - sigmoid)",
                    "The gradient points down.  It shows where the loss grows; the optimizer goes the other way.",
                ),
                Mistake(
                    "tanh without the half",
                    "np.tanh(0.5 * x)",
                    "np.tanh(x)",
                    "½ (1 + tanh(x)) is s(2x).  Inside of tanh stands half of x.",
                ),
            ),
        ),
    ),
)
