"""Layer normalization, forward and backward."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant


def _inputs(rng: np.random.Generator) -> Cases:
    def case(*shape: int, scale: float = 1.0, eps: float = 1e-12) -> tuple[object, ...]:
        H = shape[-1]
        x = scale * (rng.standard_normal(shape) + rng.standard_normal(H))
        return x, 1 + 0.5 * rng.standard_normal(H), rng.standard_normal(H), eps

    x, *others = case(5, 8)
    far_from_zero = 50 + 0.3 * np.asarray(x)  # where float32 has few digits left for a difference of squares
    return [case(3, 5, 7), case(2, 9, eps=0.3), case(4, 6, scale=0.01, eps=1e-4), (far_from_zero, *others)]


def _over(axis: str, name: str, says: str) -> Mistake:
    """Mean and variance over other axes than the last."""
    rest = f"axis={axis}, keepdims=True"
    square = "np.square(x_hat).mean({})"
    variance = (square.format("axis=-1, keepdims=True"), square.format(rest))
    return Mistake(name, "x.mean(axis=-1, keepdims=True)", f"x.mean({rest})", says, also=(variance,))


def _sums(letter: str, output: str, old: str) -> tuple[Mistake, ...]:
    """What becomes of the sum over all vectors in the gradient of γ or β."""
    inner = old.removeprefix("_rows(").removesuffix(").sum(axis=0)")
    return (
        Mistake(
            f"gradient of {letter} summed over one axis only",
            old,
            f"({inner}).sum(axis=0)",
            f"{output} is summed over the first axis alone.  {letter} has one axis; all others go.",
        ),
        Mistake(
            f"gradient of {letter} summed over the last axis",
            old,
            f"({inner}).sum(axis=-1)",
            f"{output} is summed along each vector.  {letter} has a number for each coordinate: that axis stays, and "
            "all others go.",
        ),
        Mistake(
            f"gradient of {letter} not summed",
            old,
            f"({inner})",
            f"{output} has a row for each vector.  There is one {letter} for all of them, which receives the sum.",
        ),
        Mistake(
            f"gradient of {letter} averaged",
            old,
            old.replace("sum", "mean"),
            f"{output} is a mean over the vectors.  {letter} was used by each of them: what does it receive from each?",
        ),
    )


def _means(path: str, old: str, inner: str, prefix: str = "") -> tuple[Mistake, ...]:
    """What becomes of the mean on the path through μ or σ."""
    of_path = f"the path through {path}"
    return (
        Mistake(
            f"sum for the mean, on {of_path}",
            old,
            f"{prefix}({inner}).sum(axis=-1, keepdims=True)",
            f"{of_path[0].upper()}{of_path[1:]} carries a sum over the vector.  The forward took a mean: where is 1/H?",
        ),
        Mistake(
            f"mean over the wrong axis, on {of_path}",
            old,
            f"{prefix}({inner}).mean(axis=0, keepdims=True)",
            f"On {of_path} the mean is taken over the first axis: the vectors are mixed.  Each has its own {path}, and "
            "nothing passes from one to another.",
        ),
        Mistake(
            f"mean over everything, on {of_path}",
            old,
            f"{prefix}({inner}).mean()",
            f"On {of_path} one mean is taken of all vectors.  Each has its own {path}, so each has its own mean here.",
        ),
        Mistake(
            f"no mean on {of_path}",
            old,
            f"{prefix}({inner})",
            f"On {of_path} no mean is taken.  All coordinates of a vector share one {path}; what they tell it comes "
            "together in one number.",
        ),
    )


CHAPTER = Chapter(
    slug="layer_norm",
    title="LayerNorm",
    about="Each vector is moved to mean 0 and scaled to variance 1, then stretched by a gain γ and moved by a shift β, "
    "one of each for every coordinate.  BERT does this twice in each layer, and once after the embeddings.  "
    "Tutorial 4 derives both directions.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:layer_norm_forward",
            title="LayerNorm, forward",
            points=5,
            minutes=10,
            tutorial=4,
            inputs=_inputs,
            hints=(
                "Mean and variance belong to one vector: both are taken over the last axis, and `keepdims=True` lets "
                "them broadcast against `x`.",
                "Subtract the mean first; the variance is then the mean of the squares of what is left.",
                "1/√(σ² + ε) is one number for each vector.  Multiply by it, then by γ, then add β.  The backward of "
                "the library would keep x̂, that number and γ.",
            ),
            mistakes=(
                Mistake(
                    "ε outside the root",
                    "1 / np.sqrt(variance + eps)",
                    "1 / (np.sqrt(variance) + eps)",
                    "ε is added to the standard deviation.  Look at where the root ends in the formula: √(σ² + ε).",
                ),
                Mistake(
                    "variance divided by H - 1",
                    "np.square(x_hat).mean(axis=-1, keepdims=True)",
                    "np.square(x_hat).sum(axis=-1, keepdims=True) / (x_hat.shape[-1] - 1)",
                    "The variance is that of a sample, `ddof=1`.  LayerNorm divides by the number of coordinates, H.",
                ),
                Mistake(
                    "two roots",
                    "np.square(x_hat).mean(axis=-1, keepdims=True)",
                    "np.sqrt(np.square(x_hat).mean(axis=-1, keepdims=True))",
                    "The root is taken twice: of the variance, which is the standard deviation, and of that once more.",
                ),
                Mistake(
                    "no γ",
                    "weight * x_hat",
                    "x_hat.copy()",
                    "The gain does not take part.",
                ),
                Mistake(
                    "no β",
                    "    y += bias\n",
                    "",
                    "The shift does not take part.",
                ),
                Mistake(
                    "no root",
                    "1 / np.sqrt(variance + eps)",
                    "1 / (variance + eps)",
                    "The vectors are divided by their variance.  What has variance 1 afterwards?",
                ),
                Mistake(
                    "no ε",
                    "variance + eps",
                    "variance",
                    "ε does not take part: it matters for vectors that are nearly constant.",
                ),
                _over(
                    "0",
                    "normalized over the wrong axis",
                    "Mean and variance are taken over the first axis: the tokens are mixed.  Each vector is normalized "
                    "by itself, along its last axis.",
                ),
                _over(
                    "1",
                    "normalized over axis 1",
                    "Mean and variance are taken over axis 1, which is the last one only where there are two.  Counted "
                    "from the end, the last axis has the same number always.",
                ),
                _over(
                    "None",
                    "normalized over everything",
                    "There is one mean and one variance for the whole array.  Each vector is normalized by itself, "
                    "along its last axis.",
                ),
                Mistake(
                    "variance as a difference of squares",
                    "np.square(x_hat).mean(axis=-1, keepdims=True)",
                    "np.square(x).mean(axis=-1, keepdims=True) - np.square(x.mean(axis=-1, keepdims=True))",
                    "In float64 this is right.  In float32, E[x²] - E[x]² is the small difference of two large "
                    "numbers, and can even be negative; take the mean of the squares of what is left after the mean is "
                    "subtracted.",
                ),
                Mistake(
                    "writes into x",
                    "x_hat = x - x.mean(axis=-1, keepdims=True)",
                    "x -= x.mean(axis=-1, keepdims=True)\n    x_hat = x.copy()",
                    "y is right, but x has lost its mean: `-=` changes the array that you were given, which others may "
                    "still need.",
                ),
                Mistake(
                    "β added before γ",
                    "y = weight * x_hat\n    y += bias",
                    "y = weight * (x_hat + bias)",
                    "The shift is multiplied by the gain.  In γ x̂ + β it is not.",
                ),
            ),
            variants=(
                Variant(
                    "rms-norm",
                    "x_hat = x - x.mean(axis=-1, keepdims=True)",
                    "x_hat = 1 * x",
                    "Here, the mean is not subtracted: y = γ x̂ + β with x̂ = x / √(mean(x²) + ε), as in RMSNorm.  The "
                    "example of the docstring is of LayerNorm.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:layer_norm_backward",
            of="bert_numpy.nn.functional:layer_norm_forward",
            title="LayerNorm, backward",
            points=15,
            minutes=30,
            needs=("layer_norm_forward",),
            tutorial=4,
            inputs=_inputs,
            notes="In the cache: x_hat (..., H), the normalized x; rstd (..., 1), one over the standard deviation; "
            "weight (H,), γ.",
            hints=(
                "Begin at the end: y = γ x̂ + β.  What γ, β and x̂ receive is what a product and a sum pass on, and γ "
                "and β were used by every vector.",
                "x̂ depends on x in three ways: directly, through the mean and through the standard deviation.  The "
                "last two are sums over the vector, so each gives one number for a vector.",
                "Take the gradient of x̂.  Remove its mean; remove its part along x̂, that is x̂ times the mean of "
                "their product; scale what is left as the forward scaled.",
            ),
            mistakes=(
                Mistake(
                    "the path through the mean is missing",
                    " - through_mean",
                    "",
                    "dx lacks one of its three paths: moving one coordinate moves the mean, and with it all others.",
                ),
                Mistake(
                    "the path through the standard deviation is missing",
                    " - x_hat * through_std",
                    "",
                    "dx lacks one of its three paths: moving one coordinate changes the standard deviation that "
                    "divides all others.",
                ),
                Mistake(
                    "γ left out of dx",
                    "dx_hat = dy * weight",
                    "dx_hat = dy",
                    "dx is that of a LayerNorm whose gain is 1.  dy is the gradient of y; that of x̂ is another one.",
                ),
                Mistake(
                    "dx not scaled",
                    "rstd * (dx_hat",
                    "(dx_hat",
                    "dx is right up to one factor for each vector: the forward divided by the standard deviation.",
                ),
                Mistake(
                    "γ pulled out of the backward",
                    "dx_hat = dy * weight",
                    "dx_hat = dy",
                    "γ is multiplied at the very end, behind the two means.  It has to be in before the means are "
                    "taken; as long as all gains are 1, as when training starts, nobody sees the difference.",
                    also=(("dx = rstd * (dx_hat", "dx = weight * rstd * (dx_hat"),),
                ),
                *_means("μ", " - through_mean", "dx_hat", " - "),
                *_means("σ", "(dx_hat * x_hat).mean(axis=-1, keepdims=True)", "dx_hat * x_hat"),
                *_sums("γ", "dweight", "_rows(dy * x_hat).sum(axis=0)"),
                *_sums("β", "dbias", "_rows(dy).sum(axis=0)"),
                Mistake(
                    "gradient of γ without x̂",
                    "_rows(dy * x_hat)",
                    "_rows(dy)",
                    "dweight is the gradient of β.  γ multiplies something in the forward; its gradient does too.",
                ),
            ),
            variants=(
                Variant(
                    "rms-norm",
                    "dx_hat - through_mean - x_hat",
                    "dx_hat - x_hat",
                    "Here, the forward does not subtract the mean: y = γ x̂ + β with x̂ = x / √(mean(x²) + ε), as in "
                    "RMSNorm.",
                ),
            ),
        ),
    ),
)
