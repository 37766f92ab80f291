"""Optimizers against their formulas, written out for single numbers; clipping, groups, state and errors.

`test_against_torch.py` compares the same with torch.
"""

import json
import math
import re
import tracemalloc

import numpy as np
import pytest

from bert_numpy.models import BertForPreTraining
from bert_numpy.nn import LayerNorm, Linear, Module, Parameter
from bert_numpy.nn.parallel import num_threads
from bert_numpy.training import SGD, AdamW, clip_grad_norm_, nonfinite_gradients, parameter_groups, updates


def adamw_by_hand(theta, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, correct_bias=True):
    """One number through all steps, as the papers print it."""
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m, v
        if correct_bias:
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        update = m_hat / (math.sqrt(v_hat) + eps)
        update += weight_decay * theta
        theta -= lr * update
    return theta


def sgd_by_hand(theta, gradients, rates, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    b = None
    for g, lr in zip(gradients, rates, strict=True):
        g += weight_decay * theta
        if momentum:
            b = g if b is None else momentum * b + (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        theta -= lr * g
    return theta


ADAMW_OPTIONS = [
    {},
    {"weight_decay": 0.0},
    {"weight_decay": 0.7},
    {"betas": (0.0, 0.0)},
    {"betas": (0.5, 0.9), "eps": 0.1},
    {"correct_bias": False, "eps": 1e-6},
    {"correct_bias": False, "eps": 1e-6, "weight_decay": 0.3, "betas": (0.8, 0.95)},
]
SGD_OPTIONS = [
    {},
    {"weight_decay": 0.3},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.2},
]
KINDS = [(AdamW, {"correct_bias": True}), (AdamW, {"correct_bias": False}), (SGD, {"momentum": 0.9}), (SGD, {})]


def take_step(optimizer, parameter, gradient):
    parameter.zero_grad()
    parameter.accumulate(gradient)
    optimizer.step()


# ---- the rules ----


@pytest.mark.parametrize(
    ("kind", "by_hand", "options"),
    [(AdamW, adamw_by_hand, options) for options in ADAMW_OPTIONS]
    + [(SGD, sgd_by_hand, options) for options in SGD_OPTIONS],
)
def test_every_option_follows_its_formula(kind, by_hand, options, rng):
    """Seven steps, with the rate changed between steps as a schedule does."""
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(7, 2, 3))
    rates = [0.0, 0.1, 0.2, 0.15, 0.1, 0.05, 0.01]
    parameter = Parameter(start.copy())
    optimizer = kind([parameter], lr=5.0, **options)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        take_step(optimizer, parameter, gradient)
    options = dict(options)
    if "betas" in options:
        options["beta1"], options["beta2"] = options.pop("betas")
    for i in np.ndindex(2, 3):
        expected = by_hand(float(start[i]), [float(g[i]) for g in gradients], rates, **options)
        assert parameter.data[i] == pytest.approx(expected, rel=1e-13)


def test_the_forms_of_adamw_differ_as_documented():
    """A gradient that stays the same: Google's updates are 3.2, 6.6 and 1.3 times torch's."""
    moves = {}
    for correct_bias in (True, False):
        parameter = Parameter(np.zeros(1))
        optimizer = AdamW([parameter], lr=1.0, eps=0.0, weight_decay=0.0, correct_bias=correct_bias)
        positions = [0.0]
        for _ in range(1000):
            take_step(optimizer, parameter, np.array([0.25]))
            positions.append(float(parameter.data[0]))
        moves[correct_bias] = -np.diff(positions)
    ratio = moves[False] / moves[True]
    assert [round(float(ratio[t - 1]), 1) for t in (1, 12, 1000)] == [3.2, 6.6, 1.3]
    assert ratio.argmax() == 12 - 1


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_groups_have_their_own_options(kind, options, rng):
    first, second = (Parameter(rng.normal(size=3)) for _ in range(2))
    alone = {p: Parameter(p.data.copy()) for p in (first, second)}
    optimizer = kind([{"params": [first]}, {"params": second, "lr": 0.5, "weight_decay": 0.2}], lr=0.1, **options)
    others = [kind([alone[first]], lr=0.1, **options), kind([alone[second]], lr=0.5, weight_decay=0.2, **options)]
    gradient = rng.normal(size=3)
    for _ in range(2):
        for parameter in (first, second, *alone.values()):
            parameter.zero_grad()
            parameter.accumulate(gradient)
        for each in (optimizer, *others):
            each.step()
    assert not np.array_equal(first.data, second.data)
    for parameter, twin in alone.items():
        np.testing.assert_array_equal(parameter.data, twin.data)


def test_a_group_may_come_later(rng):
    first, second = (Parameter(np.ones(2)) for _ in range(2))
    optimizer = SGD([first], lr=1.0)
    optimizer.add_param_group({"params": iter([second]), "lr": 0.25})
    for parameter in (first, second):
        parameter.accumulate(np.ones(2))
    optimizer.step()
    assert (first.data == 0).all()
    assert (second.data == 0.75).all()


# ---- in place, in one dtype, block by block ----


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_written_in_place_and_keeps_its_dtype(kind, options, dtype, rng):
    data, gradient = rng.normal(size=(2, 5, 4)).astype(dtype)
    parameter = Parameter(data)
    optimizer = kind([parameter], lr=0.1, weight_decay=0.1, **options)
    take_step(optimizer, parameter, gradient)
    before, kept = data.copy(), dict(optimizer.state.get(parameter, {}))
    take_step(optimizer, parameter, gradient)
    assert parameter.data is data
    assert not np.array_equal(data, before)
    np.testing.assert_array_equal(parameter.grad, gradient)
    for name, array in optimizer.state.get(parameter, {}).items():
        if name != "step":
            assert array is kept[name]
    assert {array.dtype for array in [data, parameter.grad, *kept.values()] if array is not kept.get("step")} == {
        np.dtype(dtype)
    }


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_rate_from_numpy_does_not_widen_float32(kind, options, rng):
    data, gradient = rng.normal(size=(2, 100)).astype(np.float32)
    results = []
    for number in (float, np.float64):
        parameter = Parameter(data.copy())
        optimizer = kind([parameter], **options)
        for name, value in optimizer.param_groups[0].items():
            if isinstance(value, float):
                optimizer.param_groups[0][name] = number(value or 0.125)
            elif isinstance(value, tuple):
                optimizer.param_groups[0][name] = tuple(number(beta) for beta in value)
        optimizer.param_groups[0]["lr"] = number(0.1)
        for _ in range(3):
            take_step(optimizer, parameter, gradient)
        results.append(parameter.data)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("size", [updates.BLOCK - 1, updates.BLOCK, 3 * updates.BLOCK + 5])
def test_blocks_cover_an_array_once(size, rng):
    data, gradient = rng.normal(size=(2, size))
    parameter = Parameter(data.copy())
    take_step(AdamW([parameter], lr=0.1, weight_decay=0.5), parameter, gradient)
    expected = data - 0.1 * (gradient / (np.abs(gradient) + 1e-8) + 0.5 * data)  # the first step: m̂ = g, v̂ = g²
    np.testing.assert_allclose(parameter.data, expected, rtol=1e-12, atol=1e-14)


LAYOUTS = {
    "Fortran order": lambda x: np.asfortranarray(x),
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "part of each row": lambda x: np.concatenate([x, x], axis=1)[:, : x.shape[1]],
    "three axes, swapped": lambda x: np.ascontiguousarray(x.swapaxes(0, 2)).swapaxes(0, 2),
}


@pytest.mark.parametrize("shape", [(12, 10), (12, 10_000), (3, 40_000)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("which", ["data", "grad", "both"])
def test_arrays_that_are_not_contiguous(which, layout, shape, rng):
    """The same as with contiguous arrays, whether a block holds all rows, three, or a part of one."""
    data, gradient = rng.normal(size=(2, *shape))
    if layout.startswith("three"):
        data, gradient = data.reshape(3, -1, shape[1]), gradient.reshape(3, -1, shape[1])
    results, norms = [], []
    for strange in (False, True):
        parameter = Parameter(LAYOUTS[layout](data) if strange and which != "grad" else data.copy())
        parameter.grad = LAYOUTS[layout](gradient) if strange and which != "data" else gradient.copy()
        arrays = [parameter.data, parameter.grad]
        assert any(not array.flags.c_contiguous for array in arrays) == strange
        norms.append(clip_grad_norm_(parameter, 1.0))
        optimizer = AdamW([parameter], lr=0.1)
        optimizer.step()
        optimizer.step()
        assert parameter.data is arrays[0]
        results.append(parameter.data)
    np.testing.assert_allclose(norms, math.sqrt(np.square(gradient).sum()), rtol=1e-14)
    np.testing.assert_allclose(*results, rtol=1e-12)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (5, 0), (1, 1)])
def test_odd_shapes(kind, options, shape):
    parameter = Parameter(np.ones(shape, np.float32))
    optimizer = kind([parameter], lr=0.5, weight_decay=0, **options)
    take_step(optimizer, parameter, np.ones(shape, np.float32))
    assert parameter.shape == shape
    assert parameter.dtype == np.float32
    assert (parameter.data < 0.6).all()


def test_a_step_needs_no_memory_beyond_its_state():
    parameter = Parameter(np.ones(40 * updates.BLOCK, np.float32))
    optimizer = AdamW([parameter])
    take_step(optimizer, parameter, parameter.data)
    tracemalloc.start()
    try:
        clip_grad_norm_([parameter], math.inf)
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (0.5 + num_threads()) * updates.BLOCK * 4


def test_a_read_only_array_is_replaced_once(tmp_path):
    """A weight in a read-only memory map; the file stays as it is."""
    np.save(tmp_path / "weight.npy", np.ones((3, 2), np.float32))
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r")
    parameter = Parameter(mapped)
    optimizer = SGD([parameter], lr=0.5)
    take_step(optimizer, parameter, np.ones((3, 2)))
    replaced = parameter.data
    take_step(optimizer, parameter, np.ones((3, 2)))
    assert parameter.data is replaced
    assert (replaced == 0).all()
    assert (np.load(tmp_path / "weight.npy") == 1).all()


# ---- which parameters are updated ----


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_parameter_without_gradient_is_skipped(kind, options):
    """No decay, no state; and the bias correction counts the steps of each parameter."""
    late, other = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = kind([late, other], lr=0.1, weight_decay=0.5, **options)
    take_step(optimizer, other, np.ones(2))
    assert (late.data == 1).all()
    assert late not in optimizer.state
    after_one = other.data.copy()
    take_step(optimizer, late, np.ones(2))
    np.testing.assert_array_equal(late.data, after_one)


def test_zero_grad(rng):
    with_gradient, without = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = SGD([with_gradient, without], lr=1.0, momentum=0.5)
    take_step(optimizer, with_gradient, np.ones(2))
    optimizer.zero_grad(set_to_none=False)
    assert (with_gradient.grad == 0).all()
    assert without.grad is None
    optimizer.step()
    assert (with_gradient.data == -0.5).all()  # a gradient of 0 still moves on, by the momentum
    optimizer.zero_grad()
    assert with_gradient.grad is None


def test_decay_is_for_matrices_alone(config):
    model = BertForPreTraining(config, rng=0)
    groups = parameter_groups(model, 0.01)
    decayed, exempt = ({name for name, _ in group["params"]} for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert decayed == {name for name, p in model.named_parameters() if p.data.ndim == 2}
    assert exempt == {name for name, p in model.named_parameters() if p.data.ndim == 1}
    google = {name for name, _ in model.named_parameters() if re.search("LayerNorm|layer_norm|bias", name)}
    assert exempt == google
    optimizer = AdamW(groups)
    assert set(optimizer.param_groups[1]["param_names"]) == exempt
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_a_norm_is_known_by_its_class_and_patterns_can_be_given():
    model = Module()
    model.scale, model.final_norm, model.table = LayerNorm(3), Linear(3, 2), Linear(2, 2)
    model.normal, model.MyLayerNorm = Linear(2, 2), Linear(2, 2)

    def exempt(**options):
        return [name for name, _ in parameter_groups(model, 0.1, **options)[1]["params"]]

    biases = [name for name, _ in model.named_parameters() if name.endswith("bias")]
    assert sorted(exempt()) == sorted(["scale.weight", "final_norm.weight", "MyLayerNorm.weight", *biases])
    assert exempt(no_decay=["table"]) == ["scale.weight", "scale.bias", "table.weight", "table.bias"]


# ---- state ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_run_continues_bit_for_bit(kind, options, dtype, rng):
    """Options through JSON, arrays through copies, as a checkpoint keeps them."""
    starts = [rng.normal(size=shape).astype(dtype) for shape in [(3, 4), (5,), (2,)]]
    gradients = [[rng.normal(size=start.shape) for start in starts[:2]] for _ in range(6)]

    def begin(values, lr):
        parameters = [Parameter(value.copy()) for value in values]
        groups = [{"params": [("a", parameters[0])]}, {"params": [("b", parameters[1]), ("c", parameters[2])]}]
        return parameters, kind(groups, lr=lr, weight_decay=0.1, **options)

    def run(parameters, optimizer, steps):
        for gradient in steps:
            for parameter, each in zip(parameters, gradient, strict=False):  # the last one never gets any
                parameter.zero_grad()
                parameter.accumulate(each)
            optimizer.param_groups[1]["lr"] *= 0.9
            optimizer.step()

    whole, optimizer = begin(starts, 0.1)
    run(whole, optimizer, gradients)

    half, optimizer = begin(starts, 0.1)
    run(half, optimizer, gradients[:3])
    saved = optimizer.state_dict()
    plain = {i: {k: v for k, v in entry.items() if k == "step"} for i, entry in saved["state"].items()}
    kept = json.loads(json.dumps({"state": plain, "param_groups": saved["param_groups"]}))
    arrays = {(i, k): v.copy() for i, entry in saved["state"].items() for k, v in entry.items() if k != "step"}
    resumed, other = begin([parameter.data for parameter in half], 7.0)
    run(half, optimizer, gradients[3:])  # the arrays are copied on loading, so that this leaves the other one alone
    for (i, name), array in arrays.items():
        kept["state"][str(i)][name] = array
    other.load_state_dict(kept)
    run(resumed, other, gradients[3:])

    for parameter, expected in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(parameter.data, expected.data)
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    assert sorted(other.state_dict()["state"]) == ([0, 1] if kept["state"] else [])


def test_loading_copies(rng):
    parameter, twin = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer, other = AdamW([parameter]), AdamW([twin])
    take_step(optimizer, parameter, np.ones(2))
    other.load_state_dict(optimizer.state_dict())
    before = other.state[twin]["exp_avg"].copy()
    take_step(optimizer, parameter, np.ones(2))
    np.testing.assert_array_equal(other.state[twin]["exp_avg"], before)
    assert (optimizer.state[parameter]["step"], other.state[twin]["step"]) == (2, 1)


def damaged(state, what):
    """The state of an optimizer with one thing wrong with it."""
    groups, entries = state["param_groups"], state["state"]
    if what == "count":
        groups[0]["params"] = [0]
    elif what == "groups":
        groups.append(dict(groups[0]))
    elif what == "name":
        groups[0]["param_names"] = ["weight", "gain"]
    elif what == "option":
        groups[0]["amsgrad"] = False
    elif what == "no option":
        del groups[0]["eps"]
    elif what == "value":
        groups[0]["lr"] = -1.0
    elif what == "index":
        entries[7] = entries.pop(1)
    elif what == "shape":
        entries[1] = {**entries[1], "exp_avg": np.zeros(3)}
    elif what == "entry":
        entries[1] = {"momentum_buffer": np.zeros(2)}
    else:
        del state["state"]
    return state


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("count", r"groups of \[1\] parameters, expected \[2\]"),
        ("groups", r"groups of \[2, 2\] parameters, expected \[2\]"),
        ("name", "gain stands where bias is expected"),
        ("option", "the options amsgrad are not in both"),
        ("no option", "the options eps are not in both"),
        ("value", r"lr is -1\.0"),
        ("index", "state of parameter 7, which is in no group"),
        ("shape", r"exp_avg of parameter 1 has shape \(3,\), expected \(2,\)"),
        ("entry", "parameter 1 has momentum_buffer, expected step, exp_avg, exp_avg_sq"),
        ("state", "has 'state' and 'param_groups'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(what, message, rng):
    parameters = [Parameter(np.ones(2)), Parameter(np.ones(2))]
    optimizer = AdamW([("weight", parameters[0]), ("bias", parameters[1])], lr=0.1)
    for parameter in parameters:
        parameter.accumulate(np.ones(2))
    optimizer.step()
    state = optimizer.state_dict()
    state["state"] = {i: {k: v * 0 for k, v in entry.items()} for i, entry in state["state"].items()}
    state["param_groups"][0]["lr"] = 0.5
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(damaged(state, what))
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert [optimizer.state[parameter]["step"] for parameter in parameters] == [1, 1]


# ---- errors ----

ONE = Parameter(np.ones(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AdamW([]), ValueError, "no parameters to optimize"),
        (lambda: AdamW([{"params": []}, {"params": []}]), ValueError, "no parameters to optimize"),
        (lambda: AdamW([ONE, ONE]), ValueError, r"Parameter\(shape=\(2,\), dtype=float64\) is listed twice"),
        (lambda: AdamW([{"params": [("w", ONE)]}, {"params": [("v", ONE)]}]), ValueError, "v is listed twice"),
        (lambda: AdamW([ONE], lr=-1e-3), ValueError, "lr is -0.001; it must be a finite number of at least 0"),
        (lambda: AdamW([ONE], lr=math.nan), ValueError, "lr is nan"),
        (lambda: AdamW([ONE], lr=math.inf), ValueError, "lr is inf"),
        (lambda: AdamW([ONE], lr="1e-3"), ValueError, "lr is '1e-3'"),
        (lambda: AdamW([ONE], eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: AdamW([ONE], weight_decay=-0.1), ValueError, "weight_decay is -0.1"),
        (lambda: AdamW([ONE], betas=(0.9, 1.0)), ValueError, "betas is 1.0; it must be at least 0 and below 1"),
        (lambda: AdamW([ONE], betas=(-0.1, 0.9)), ValueError, "betas is -0.1"),
        (lambda: AdamW([ONE], betas=0.9), ValueError, "betas is 0.9; it must be two numbers"),
        (lambda: AdamW([{"params": [ONE], "lr": -2.0}]), ValueError, "lr is -2.0"),
        (lambda: AdamW([{"params": [ONE], "decay": 0.1}]), ValueError, "AdamW has no option 'decay'; there are lr, be"),
        (lambda: AdamW([{"lr": 0.1}]), TypeError, 'with the key "params"'),
        (lambda: AdamW([{"params": [ONE]}, ONE]), TypeError, 'with the key "params"'),
        (lambda: AdamW({ONE}), TypeError, "the parameters are a set; give a list"),
        (lambda: AdamW({"params": [ONE]}), TypeError, "the parameters are a dict; give a list"),
        (lambda: AdamW([ONE, np.ones(2)]), TypeError, "takes parameters, not a ndarray"),
        (lambda: AdamW([("w", ONE), Parameter(np.ones(1))]), ValueError, "some parameters come with a name"),
        (lambda: SGD([ONE], momentum=-0.1), ValueError, "momentum is -0.1"),
        (lambda: SGD([ONE], nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: SGD([ONE], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "a dampening of 0"),
        (lambda: clip_grad_norm_([ONE], -1.0), ValueError, "max_norm is -1.0"),
        (lambda: clip_grad_norm_([ONE], math.nan), ValueError, "max_norm is nan"),
    ],
)
def test_errors_are_one_clear_line(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "options"), [(AdamW, {}), (SGD, {"momentum": 0.9})])
def test_a_gradient_of_another_shape_is_refused_before_anything_changes(kind, options):
    fine, wrong = Parameter(np.ones((2, 3))), Parameter(np.ones((2, 3)))
    optimizer = kind([fine, wrong], lr=0.1, **options)
    for parameter in (fine, wrong):
        parameter.grad = np.ones((2, 3))
    optimizer.step()
    before = json.dumps(optimizer.state_dict()["state"], default=np.ndarray.tolist), fine.data.tolist()
    wrong.grad = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"shape \(3, 2\) cannot be that of a Parameter\(shape=\(2, 3\)"):
        optimizer.step()
    after = json.dumps(optimizer.state_dict()["state"], default=np.ndarray.tolist), fine.data.tolist()
    assert after == before


# ---- gradients ----


def with_gradients(*gradients):
    parameters = [Parameter(np.zeros(np.shape(gradient), np.asarray(gradient).dtype)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = np.array(gradient)
    return [*parameters, Parameter(np.zeros(4))]  # the last one has none


def test_clipping_is_joint_and_in_place():
    """1² + 2² + 4² + 10² = 11²; a norm of each tensor alone would scale them differently."""
    parameters = with_gradients([1.0, 2.0], [[4.0], [10.0]])
    arrays = [parameter.grad for parameter in parameters]
    assert clip_grad_norm_(iter(parameters), 5.5) == 11.0
    np.testing.assert_allclose(arrays[0], [0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(arrays[1], [[2.0], [5.0]], rtol=1e-6)
    assert arrays[0][0] == 5.5 / (11 + 1e-6)
    assert all(parameter.grad is array for parameter, array in zip(parameters, arrays, strict=True))
    assert clip_grad_norm_(parameters, 0) == pytest.approx(5.5)
    assert (arrays[0] == 0).all()


def test_gradients_within_the_limit_stay_bit_for_bit():
    parameters = with_gradients([3.0, 4.0])
    for limit in (math.inf, 100.0, 5.00001):
        assert clip_grad_norm_(parameters, limit) == 5.0
        assert parameters[0].grad.tolist() == [3.0, 4.0]


def test_a_parameter_counts_once():
    (parameter, _) = with_gradients([3.0, 4.0])
    assert clip_grad_norm_([parameter, parameter], 2.5) == 5.0
    np.testing.assert_allclose(parameter.grad, [1.5, 2.0], rtol=1e-6)
    assert clip_grad_norm_(parameter, 10.0) == pytest.approx(2.5)
    assert clip_grad_norm_([], 1.0) == 0.0


def test_the_norm_of_float32_is_accurate(rng):
    gradient = rng.normal(loc=1.0, size=500_000).astype(np.float32)
    exact = math.sqrt(math.fsum(np.square(gradient, dtype=np.float64)))
    assert clip_grad_norm_(with_gradients(gradient), math.inf) == pytest.approx(exact, rel=1e-6)


def test_squares_beyond_float32():
    parameters = with_gradients(np.array([3e30, 4e30], np.float32))
    assert clip_grad_norm_(parameters, 1.0) == pytest.approx(5e30)
    np.testing.assert_allclose(parameters[0].grad, [0.6, 0.8], rtol=1e-6)


def test_squares_beyond_float64_clip_nothing():
    parameters = with_gradients([1e200, 1.0], [1e154, 1e154])
    assert clip_grad_norm_(parameters, 1.0) == math.inf
    assert parameters[0].grad.tolist() == [1e200, 1.0]
    assert nonfinite_gradients([("a", parameters[0])]) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_is_named_and_left_alone(bad, dtype):
    gradients = [np.array(values, dtype) for values in ([100.0, 2.0], [[3.0], [bad]], [1e30, 1.0])]
    parameters = with_gradients(*gradients)
    norm = clip_grad_norm_(parameters, 1.0)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    for parameter, gradient in zip(parameters[:-1], gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    assert nonfinite_gradients(zip("abcd", parameters, strict=True)) == ["b"]
    with pytest.raises(ValueError, match="the norm of the gradients is"):
        clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
