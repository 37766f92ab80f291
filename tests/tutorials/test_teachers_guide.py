"""The teacher's guide names exercises, variants and options that exist, and adds up their minutes."""

import re
from pathlib import Path

import pytest

from bert_numpy.classroom.catalogue import all_exercises

GUIDE = (Path(__file__).resolve().parents[2] / "tutorials" / "teachers_guide.md").read_text(encoding="utf-8")
ROWS = [
    (int(number), re.findall(r"`([^`]+)`", names), int(minutes))
    for number, names, minutes in re.findall(r"^\| (\d+) [^|]*\| (`[^|]*) \| (\d+) \|$", GUIDE, flags=re.MULTILINE)
]


def test_the_table_holds_every_exercise_once_beside_its_tutorial():
    assert {(number, name) for number, names, _ in ROWS for name in names} == {
        (exercise.tutorial, exercise.name) for exercise in all_exercises()
    }


@pytest.mark.parametrize(("number", "names", "minutes"), ROWS, ids=[row[0] for row in ROWS])
def test_the_minutes_add_up(number, names, minutes):
    known = {exercise.name: exercise for exercise in all_exercises()}
    assert sum(known[name].minutes for name in names) == minutes


def test_the_order_is_that_of_the_kit():
    order = [exercise.name for exercise in all_exercises()]
    for _, names, _ in ROWS:
        assert names == sorted(names, key=order.index)


def test_the_plans_name_exercises_that_exist():
    known = {exercise.name for exercise in all_exercises()}
    plans = GUIDE[GUIDE.index("## Three plans") : GUIDE.index("## Grading")]
    named = set(re.findall(r"`([A-Za-z_.]+)`", plans)) - {"bert-numpy"}
    assert len(named) > 25
    assert named <= known


def test_its_commands_are_understood():
    from bert_numpy.cli.main import build_parser

    commands = [line for line in GUIDE.splitlines() if line.startswith("bert-numpy ")]
    assert len(commands) == 2
    for command in commands:
        assert build_parser().parse_args(command.split()[1:]).run
