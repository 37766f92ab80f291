"""Schedules against tables written by hand; `test_against_torch.py` compares them with the reference library."""

import json
import math

import numpy as np
import pytest

from bert_numpy.nn import Parameter
from bert_numpy.training import (
    AdamW,
    LambdaLR,
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_google_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_scheduler,
)


def make_optimizer(*rates):
    return AdamW([{"params": [Parameter(np.zeros(1))], "lr": rate} for rate in rates or (1.0,)])


def rates_of(scheduler, count):
    """The rates that the first `count` steps of the optimizer see."""
    rates = []
    for _ in range(count):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr()[0] == rates[-1]
        scheduler.step()
    return rates


HALF = math.sqrt(0.5)
TABLES = {
    "constant": (get_constant_schedule, {}, [1, 1, 1, 1, 1, 1, 1, 1]),
    "constant_with_warmup": (get_constant_schedule_with_warmup, {"num_warmup_steps": 4}, [0, 0.25, 0.5, 0.75, 1, 1]),
    "linear": (
        get_linear_schedule_with_warmup,
        {"num_warmup_steps": 2, "num_training_steps": 6},
        [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0, 0],
    ),
    "google": (
        get_google_schedule_with_warmup,
        {"num_warmup_steps": 2, "num_training_steps": 8},
        [0, 0.5, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0, 0],
    ),
    "cosine": (
        get_cosine_schedule_with_warmup,
        {"num_warmup_steps": 2, "num_training_steps": 6},
        [0, 0.5, 1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2, 0],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    make, steps, expected = TABLES[name]
    assert rates_of(make(make_optimizer(), **steps), len(expected)) == pytest.approx(expected, abs=1e-15)
    assert rates_of(get_scheduler(name, make_optimizer(), **steps), len(expected)) == pytest.approx(expected, abs=1e-15)


def test_without_warm_up():
    assert rates_of(get_linear_schedule_with_warmup(make_optimizer(), 0, 4), 5) == [1, 0.75, 0.5, 0.25, 0]
    assert rates_of(get_google_schedule_with_warmup(make_optimizer(), 0, 4), 5) == [1, 0.75, 0.5, 0.25, 0]
    assert rates_of(get_linear_schedule_with_warmup(make_optimizer(), 0, 0), 2) == [0, 0]


def test_a_warm_up_of_all_steps():
    assert rates_of(get_linear_schedule_with_warmup(make_optimizer(), 4, 4), 6) == [0, 0.25, 0.5, 0.75, 0, 0]
    assert rates_of(get_google_schedule_with_warmup(make_optimizer(), 4, 4), 6) == [0, 0.25, 0.5, 0.75, 0, 0]


def test_whole_waves_of_a_cosine():
    make = get_cosine_schedule_with_warmup
    assert rates_of(make(make_optimizer(), 0, 8, num_cycles=2), 5) == pytest.approx([1, 0.5, 0, 0.5, 1])
    options = {"num_cycles": 2}
    assert rates_of(get_scheduler("cosine", make_optimizer(), 0, 8, options), 5) == pytest.approx([1, 0.5, 0, 0.5, 1])


def test_the_two_linear_forms():
    """1000 steps, 100 of them warm-up, a rate of 1e-4; the figures of the header of `schedules.py`."""
    ours = rates_of(get_linear_schedule_with_warmup(make_optimizer(1e-4), 100, 1000), 1001)
    google = rates_of(get_google_schedule_with_warmup(make_optimizer(1e-4), 100, 1000), 1001)
    assert (ours[100], google[100]) == pytest.approx((1.0e-4, 9.0e-5))
    assert (ours[550], google[550]) == pytest.approx((5.0e-5, 4.5e-5))
    assert ours[:100] == google[:100] == pytest.approx([1e-6 * step for step in range(100)])


def test_every_group_keeps_its_proportion():
    optimizer = make_optimizer(1.0, 0.5)
    scheduler = get_linear_schedule_with_warmup(optimizer, 0, 4)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.75, 0.375] == [group["lr"] for group in optimizer.param_groups]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 0.5]
    scheduler.get_last_lr()[0] = 9.0
    assert scheduler.get_last_lr() == [0.75, 0.375]


def test_a_function_for_each_group():
    scheduler = LambdaLR(make_optimizer(1.0, 1.0), [lambda step: 1.0, lambda step: 0.5**step])
    scheduler.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [1.0, 0.25]


@pytest.mark.parametrize("order", ["optimizer, schedule", "schedule, optimizer", "schedule"])
def test_a_schedule_goes_on_where_it_stood(order):
    """Through JSON, into an optimizer made with another rate, whichever of the two states is loaded first."""
    optimizer = make_optimizer(1.0, 0.5)
    scheduler = get_linear_schedule_with_warmup(optimizer, 2, 8)
    rates_of(scheduler, 3)
    saved = json.loads(json.dumps([optimizer.state_dict(), scheduler.state_dict()]))
    expected = rates_of(scheduler, 6)

    other = make_optimizer(3.0, 3.0)
    resumed = get_linear_schedule_with_warmup(other, 2, 8)
    for part in order.split(", "):
        if part == "optimizer":
            other.load_state_dict(saved[0])
        else:
            resumed.load_state_dict(saved[1])
    assert [group["lr"] for group in other.param_groups] == saved[1]["_last_lr"]
    assert rates_of(resumed, 6) == expected


def test_a_second_schedule_starts_from_the_initial_rate():
    optimizer = make_optimizer(1.0)
    rates_of(get_linear_schedule_with_warmup(optimizer, 0, 4), 3)
    assert rates_of(get_linear_schedule_with_warmup(optimizer, 0, 4), 2) == [1.0, 0.75]


def test_last_epoch_continues():
    optimizer = make_optimizer(1.0)
    rates_of(get_linear_schedule_with_warmup(optimizer, 0, 4), 2)
    assert rates_of(get_linear_schedule_with_warmup(optimizer, 0, 4, last_epoch=1), 2) == [0.5, 0.25]
    with pytest.raises(KeyError, match="group 0 has no initial_lr"):
        get_linear_schedule_with_warmup(make_optimizer(), 0, 4, last_epoch=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: get_scheduler("linea", make_optimizer(), 0, 1),
            "no schedule .linea.; there are constant, ",
        ),
        (lambda: get_scheduler("linear", make_optimizer(), None, 1), "'linear' needs num_warmup_steps"),
        (lambda: get_scheduler("google", make_optimizer(), 0), "'google' needs num_training_steps"),
        (lambda: get_scheduler("linear", make_optimizer(), 0, 1, {"num_cycles": 1}), "no option num_cycles"),
        (lambda: get_scheduler("cosine", make_optimizer(), 0, 1, {"power": 1}), "no option power"),
        (lambda: get_linear_schedule_with_warmup(make_optimizer(), -1, 4), "num_warmup_steps is -1"),
        (lambda: get_linear_schedule_with_warmup(make_optimizer(), 0, -4), "num_training_steps is -4"),
        (lambda: get_cosine_schedule_with_warmup(make_optimizer(), 0, -4), "num_training_steps is -4"),
        (lambda: get_constant_schedule_with_warmup(make_optimizer(), math.nan), "num_warmup_steps is nan"),
        (lambda: LambdaLR(make_optimizer(), [abs, abs]), "2 functions for 1 parameter groups"),
        (lambda: get_constant_schedule(make_optimizer()).load_state_dict({"last_epoch": 1}), "no base_lrs, _last_lr"),
        (
            lambda: get_constant_schedule(make_optimizer()).load_state_dict(
                get_constant_schedule(make_optimizer(1.0, 1.0)).state_dict()
            ),
            "rates for 2 parameter groups, there are 1",
        ),
    ],
)
def test_errors_are_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
