"""Names, ties, accumulation and state of modules."""

import copy

import numpy as np
import pytest

from bert_numpy.nn import Linear, Module, Parameter
from bert_numpy.nn import functional as F


class TwoLayers(Module):
    """Two linear layers whose weights are one parameter."""

    def __init__(self):
        self.first = Linear(3, 3, np.float64)
        self.rest = [Linear(3, 3, np.float64)]
        self.scale = Parameter(np.full(3, 2.0))
        self.rest[0].weight = self.first.weight
        for parameter in self.parameters():
            parameter.data += np.random.default_rng(0).normal(size=parameter.shape)

    def forward(self, x):
        h, first_cache = self.first.forward(x)
        y, rest_cache = self.rest[0].forward(h)
        return y * self.scale.data, (first_cache, rest_cache, y)

    def backward(self, dy, cache):
        first_cache, rest_cache, y = cache
        self.scale.accumulate((dy * y).sum(axis=0))
        return self.first.backward(self.rest[0].backward(dy * self.scale.data, rest_cache), first_cache)


NAMES = ["scale", "first.weight", "first.bias", "rest.0.bias"]


@pytest.fixture
def net():
    return TwoLayers()


def test_paths_follow_the_attributes_and_a_tied_parameter_is_listed_once(net):
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_places()] == [*NAMES[:3], "rest.0.weight", NAMES[3]]
    assert net.num_parameters() == 3 + 9 + 3 + 3
    assert list(net.state_dict()) == NAMES


def test_the_output_of_a_module_may_be_its_input_again(net, rng):
    """`net(net(x))`, then backward through both uses: impossible with a cache on the module."""
    x, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    y, first = net.forward(x)
    _, second = net.forward(y)
    dx = net.backward(net.backward(dy, second), first)
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}

    h = 1e-6
    for name, parameter in net.named_parameters():
        for i in np.ndindex(parameter.shape):
            old = parameter.data[i]
            parameter.data[i] = old + h
            above = (net(net(x)) * dy).sum()
            parameter.data[i] = old - h
            below = (net(net(x)) * dy).sum()
            parameter.data[i] = old
            assert gradients[name][i] == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-6)
    direction = rng.normal(size=x.shape)
    slope = ((net(net(x + h * direction)) - net(net(x - h * direction))) * dy).sum() / (2 * h)
    assert (dx * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_gradients_add_up_until_they_are_cleared(net, rng):
    x, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    net.backward(dy, net.forward(x)[1])
    once = {name: parameter.grad.copy() for name, parameter in net.named_parameters()}
    net.backward(dy, net.forward(x)[1])
    for name, parameter in net.named_parameters():
        np.testing.assert_allclose(parameter.grad, 2 * once[name])
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_accumulate_owns_its_buffer():
    parameter, gradient = Parameter(np.zeros(2)), np.ones(2)
    parameter.accumulate(gradient)
    parameter.accumulate(gradient)
    np.testing.assert_array_equal(gradient, [1, 1])
    np.testing.assert_array_equal(parameter.grad, [2, 2])


def test_accumulate_refuses_another_shape():
    with pytest.raises(ValueError, match=r"a gradient of shape \(1,\) cannot be that of a parameter of \(3,\)"):
        Parameter(np.zeros(3)).accumulate(np.zeros(1))


def test_numpy_sees_the_data_of_a_parameter():
    parameter = Parameter(np.array([3.0, 4.0]))
    assert np.linalg.norm(parameter) == 5
    assert np.asarray(parameter) is parameter.data
    assert np.array(parameter) is not parameter.data


def test_a_module_prints_as_its_tree(net):
    assert repr(net).splitlines()[:3] == [
        "TwoLayers",
        "  scale: Parameter(shape=(3,), dtype=float64)",
        "  first: Linear",
    ]


def test_train_and_eval_reach_every_module(net):
    assert all(module.training for _, module in net.named_modules())
    assert not any(module.training for _, module in net.eval().named_modules())
    assert all(module.training for _, module in net.train().named_modules())


def test_astype_gives_a_copy_that_is_tied_like_the_original(net):
    single = net.astype(np.float32)
    assert {parameter.dtype for parameter in single.parameters()} == {np.dtype(np.float32)}
    assert {parameter.dtype for parameter in net.parameters()} == {np.dtype(np.float64)}
    assert single.rest[0].weight is single.first.weight
    same = net.astype(np.float64)
    for copied in (single, same):
        copied.first.weight.data[...] = 0
    assert net.first.weight.data.any()


def test_state_dict_round_trip_under_either_name_of_a_tied_parameter(net):
    state = copy.deepcopy(net.state_dict())
    other = TwoLayers()
    for parameter in other.parameters():
        parameter.data[...] = 0
    before = other.first.weight.data
    other.load_state_dict(state)
    assert other.first.weight.data is before, "loading writes in place"
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])

    state["rest.0.weight"] = state.pop("first.weight") + 1
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.first.weight.data, net.first.weight.data + 1)


def test_loading_lists_every_misfit_at_once_and_loads_nothing(net):
    state = {name: array + 1 for name, array in net.state_dict().items()}
    del state["scale"]
    state["first.bias"] = np.zeros(4)
    state["extra"] = np.zeros(1)
    state["rest.0.weight"] = state["first.weight"] + 1
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match="cannot load into TwoLayers") as error:
        net.load_state_dict(state)
    message = str(error.value)
    assert "missing scale (3,)" in message
    assert "first.bias has shape (4,), expected (3,)" in message
    assert "unexpected extra" in message
    assert "first.weight and rest.0.weight are one tied parameter here but differ" in message
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_tied_pair_may_hold_nan_and_text_is_refused(net):
    state = copy.deepcopy(net.state_dict())
    state["first.weight"][0, 0] = np.nan
    state["rest.0.weight"] = state["first.weight"].copy()
    net.load_state_dict(state)
    assert np.isnan(net.first.weight.data[0, 0])
    state["scale"] = np.array(["a", "b", "c"])
    state["first.bias"] = np.full(3, 9.0)
    with pytest.raises(ValueError, match="scale holds <U1, expected numbers"):
        net.load_state_dict(state)
    assert (net.first.bias.data != 9).all()


def test_assigning_adopts_an_array_of_the_same_dtype_and_converts_any_other(net):
    state = copy.deepcopy(net.state_dict())
    state["scale"] = state["scale"].astype(np.float16)
    net.load_state_dict(state, assign=True)
    assert net.first.weight.data is state["first.weight"]
    assert net.rest[0].weight.data is state["first.weight"]
    assert net.scale.dtype == np.float64


def test_a_function_put_into_functional_is_used_by_every_layer(net, rng, monkeypatch):
    calls = []

    def mine(x, weight, bias):
        calls.append(weight.shape)
        return original(x, weight, bias)

    original = F.linear_forward
    monkeypatch.setattr(F, "linear_forward", mine)
    net(rng.normal(size=(2, 3)))
    assert calls == [(3, 3), (3, 3)]
