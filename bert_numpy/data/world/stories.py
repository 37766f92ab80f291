"""The stories of the small world: what its documents look like.

A document is one story told once.  A story is a fixed sequence of sentences; a sentence has one or two equally likely
wordings; a wording is a sequence of words and slots.  The slot `{person.she}` is filled from the column `she` of the
row drawn for `person`, so whoever is called anna in one sentence is `she` in the next.

What keeps the truth computable, and a small model able to learn it:

- the rows of a story are drawn independently of each other and of the wordings;
- the order of the sentences is fixed, so what follows a sentence is a sentence that could follow it;
- nearly every sentence names the person or repeats another word of its story.

Here: `Story`, `read_story` and the stories.  Not here: drawing documents (`corpus.py`), probabilities (`truth.py`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from . import tables as t
from .tables import Table, pairs


class Slot(NamedTuple):
    """A place in a sentence that is filled from a table of the story."""

    variable: str
    column: str


Wording = tuple[str | Slot, ...]


class Story(NamedTuple):
    """One kind of document.

    Attributes
    ----------
    name : str
    variables : mapping of str to Table
        For each variable the table of which a row is drawn.
    sentences : tuple of tuples of wordings
    """

    name: str
    variables: Mapping[str, Table]
    sentences: tuple[tuple[Wording, ...], ...]

    def tell(self, rng: random.Random) -> list[str]:
        """Draw a document: a row of each table, then a wording of each sentence.

        Examples
        --------
        >>> story = read_story("tiny", {"place": t.PLACES}, "the capital of {place.country} is {place.capital} .")
        >>> story.tell(random.Random(1))
        ['the capital of spain is madrid .']
        """
        row = {variable: draw(rng, len(table)) for variable, table in self.variables.items()}
        sentences = []
        for wordings in self.sentences:
            wording = wordings[draw(rng, len(wordings)) if len(wordings) > 1 else 0]
            words = [
                item if isinstance(item, str) else self.variables[item.variable].cell(row[item.variable], item.column)
                for item in wording
            ]
            sentences.append(" ".join(words))
        return sentences

    def words(self) -> set[str]:
        """Every word that the story can use."""
        found: set[str] = set()
        for item in (item for wordings in self.sentences for wording in wordings for item in wording):
            if isinstance(item, str):
                found.add(item)
            else:
                found.update(self.variables[item.variable].words(item.column))
        return found


def draw(rng: random.Random, count: int) -> int:
    """A whole number from 0 to count - 1, all equally likely.

    It uses `rng.random()` alone: of all methods, that is the one of which Python promises that a seed will give the
    same sequence in every version.
    """
    return int(rng.random() * count)


def read_story(name: str, variables: Mapping[str, Table], text: str) -> Story:
    """A story from text: one sentence a line, its wordings separated by `|`, slots as `{variable.column}`.

    Raises
    ------
    ValueError
        If a slot names a variable or column that is not there, or a sentence does not end with a full stop.

    Examples
    --------
    >>> read_story("tiny", {"day": t.DAYS}, "it is {day.first} .").sentences
    ((('it', 'is', Slot(variable='day', column='first'), '.'),),)
    """

    def read_item(word: str) -> str | Slot:
        if not word.startswith("{"):
            return word
        variable, _, column = word.strip("{}").partition(".")
        if variable not in variables or column not in variables[variable].columns:
            raise ValueError(f"story {name}: there is nothing to put into {word}")
        return Slot(variable, column)

    sentences: list[tuple[Wording, ...]] = []
    for line in text.strip().split("\n"):
        wordings = tuple(tuple(read_item(word) for word in wording.split()) for wording in line.split("|"))
        if any(not wording or wording[-1] != "." for wording in wordings):
            raise ValueError(f"story {name}: a sentence ends with ' .', not {line.strip()!r}")
        sentences.append(wordings)
    return Story(name, dict(variables), tuple(sentences))


STORIES = (
    read_story(
        "journey",
        {
            "person": t.PEOPLE,
            "route": pairs(t.PLACES, "home", "away"),
            "family": t.FAMILY,
            "mood": t.MOODS,
            "month": t.MONTHS,
            "vehicle": t.VEHICLES,
            "town": t.TOWN,
        },
        """
        the capital of {route.home_country} is {route.home_capital} .
        {person.name} lives in {route.home_capital} with {person.her} {mood.word} {family.word} .
        in {month.first} {person.she} travels by {vehicle.word} to {route.away_country} . \
            | {person.she} travels to {route.away_country} by {vehicle.word} in {month.first} .
        the capital of {route.away_country} is {route.away_capital} .
        at the {town.word} {person.name} learns a little {route.away_language} .
        then {person.she} comes home to {route.home_capital} . | soon {person.she} is back in {route.home_country} .
        """,
    ),
    read_story(
        "letter",
        {
            "person": t.PEOPLE,
            "place": t.PLACES,
            "family": t.FAMILY,
            "colour": t.COLOURS,
            "gift": t.GIFTS,
            "month": t.MONTHS,
        },
        """
        people in {place.country} speak {place.language} .
        the capital of {place.country} is {place.capital} .
        {place.country} is in {place.continent} .
        {person.name} writes a letter to {person.her} {family.word} in {place.capital} .
        in the letter {person.she} asks for the {colour.word} {gift.word} . \
            | {person.she} asks for the {colour.word} {gift.word} in the letter .
        in {month.first} {person.name} gets an answer from {place.country} .
        """,
    ),
    read_story(
        "week",
        {
            "day": t.DAYS,
            "person": t.PEOPLE,
            "town1": t.TOWN,
            "town2": t.TOWN,
            "family": t.FAMILY,
            "colour": t.COLOURS,
            "thing": t.THINGS,
            "instrument": t.INSTRUMENTS,
        },
        """
        today is {day.first} and {person.name} is at the {town1.word} .
        the day after {day.first} is {day.second} .
        on {day.second} {person.she} meets {person.her} {family.word} at the {town2.word} .
        on {day.third} {person.she} and the {family.word} buy the {colour.word} {thing.one} . \
            | on {day.third} {person.she} looks for {person.her} {colour.word} {thing.one} .
        on {day.fourth} {person.name} plays the {instrument.word} .
        """,
    ),
    read_story(
        "birthday",
        {
            "month": t.MONTHS,
            "person": t.PEOPLE,
            "mood": t.MOODS,
            "family": t.FAMILY,
            "colour": t.COLOURS,
            "gift": t.GIFTS,
        },
        """
        {person.name} was born in {month.first} .
        {month.first} is a {month.season} month .
        the month after {month.first} is {month.second} .
        the birthday of {person.her} {mood.word} {family.word} is in {month.second} .
        this year {person.name} wants the {colour.word} {gift.word} . \
            | {person.name} hopes for the {colour.word} {gift.word} .
        """,
    ),
    read_story(
        "steps",
        {
            "person": t.PEOPLE,
            "move": t.MOVING,
            "town1": t.TOWN,
            "town2": t.TOWN,
            "town3": t.TOWN,
            "hour": t.NUMBERS,
            "family": t.FAMILY,
            "weather": t.WEATHER,
        },
        """
        yesterday at {hour.word} {person.name} {move.past} to the {town1.word} .
        today {person.she} {move.third} to the {town2.word} .
        tomorrow {person.she} will {move.base} to the {town3.word} .
        {person.name} likes to {move.base} with {person.her} {family.word} .
        they {move.base} together when it is {weather.word} . | they often {move.base} when it is {weather.word} .
        """,
    ),
    read_story(
        "meals",
        {
            "person": t.PEOPLE,
            "meal": t.SERVING,
            "food1": t.FOODS,
            "food2": t.FOODS,
            "food3": t.FOODS,
            "food4": t.FOODS,
            "family": t.FAMILY,
            "room": t.ROOMS,
            "drink": t.DRINKS,
        },
        """
        last week {person.name} {meal.past} {food1.word} for {person.her} {family.word} .
        this week {person.she} {meal.third} {food2.word} for the {family.word} .
        next week {person.she} will {meal.base} {food3.word} .
        with the {food3.word} there will be {drink.word} and {food4.word} .
        {person.name} and {person.her} {family.word} eat in the {room.word} .
        """,
    ),
    read_story(
        "plus",
        {
            "person": t.PEOPLE,
            "sum": t.SUMS,
            "colour1": t.COLOURS,
            "family": t.FAMILY,
            "colour2": t.COLOURS,
            "furniture": t.FURNITURE,
        },
        """
        {person.name} has {sum.a} {sum.things_a} in {person.her} {colour1.word} bag .
        {person.her} {family.word} gives {person.him} {sum.b} more {sum.things_b} .
        {sum.a} plus {sum.b} is {sum.total} .
        now {person.she} has {sum.total} {sum.things_total} .
        {person.name} puts the {sum.things_total} on the {colour2.word} {furniture.word} . \
            | {person.name} hides the {sum.things_total} under the {colour2.word} {furniture.word} .
        """,
    ),
    read_story(
        "minus",
        {
            "person": t.PEOPLE,
            "rest": t.SUMS,
            "colour": t.COLOURS,
            "mood": t.MOODS,
            "family": t.FAMILY,
            "daytime": t.DAYTIMES,
            "town": t.TOWN,
        },
        """
        there are {rest.total} {rest.things_total} in the {colour.word} basket .
        {person.name} takes {rest.b} {rest.things_b} to {person.her} {mood.word} {family.word} .
        {rest.total} minus {rest.b} is {rest.a} .
        so there {rest.are_a} {rest.a} {rest.things_a} left .
        in the {daytime.word} {person.name} carries the basket to the {town.word} .
        """,
    ),
    read_story(
        "counting",
        {
            "person": t.PEOPLE,
            "town": t.TOWN,
            "first": t.SUMS,
            "second": t.SUMS,
            "thing": t.THINGS,
            "colour": t.COLOURS,
            "mood": t.MOODS,
            "family": t.FAMILY,
        },
        """
        {person.name} learns to count at the {town.word} .
        {first.a} plus {first.b} is {first.total} .
        {second.total} minus {second.b} is {second.a} .
        then {person.she} counts the {thing.many} in {person.her} {colour.word} bag .
        {person.name} gives the bag to {person.her} {mood.word} {family.word} .
        """,
    ),
    read_story(
        "painting",
        {
            "person": t.PEOPLE,
            "paint": pairs(t.COLOURED, "first", "second"),
            "mood": t.MOODS,
            "family": t.FAMILY,
            "colour": t.COLOURS,
            "room": t.ROOMS,
            "furniture": t.FURNITURE,
        },
        """
        {person.name} paints the {paint.first_name} and the {paint.second_name} .
        the {paint.first_name} is {paint.first_colour} .
        the {paint.second_name} is {paint.second_colour} .
        {person.she} shows the picture to {person.her} {mood.word} {family.word} .
        then {person.name} and the {family.word} hang it in the {colour.word} {room.word} . \
            | then {person.name} and the {family.word} hang it above the {colour.word} {furniture.word} .
        """,
    ),
    read_story(
        "lesson",
        {
            "person": t.PEOPLE,
            "pair": pairs(t.OPPOSITES, "first", "second", differ=("word", "opposite")),
            "colour": t.COLOURS,
            "thing": t.THINGS,
            "day": t.DAYS,
            "daytime": t.DAYTIMES,
        },
        """
        {person.name} reads the words {pair.first_word} and {pair.second_word} .
        the opposite of {pair.first_word} is {pair.first_opposite} .
        the opposite of {pair.second_word} is {pair.second_opposite} .
        {person.she} writes {pair.second_opposite} beside the {colour.word} {thing.one} .
        {person.name} learns new words every {day.first} {daytime.word} .
        """,
    ),
    read_story(
        "farm",
        {
            "person": t.PEOPLE,
            "animal": pairs(t.ANIMALS, "first", "second"),
            "number": t.MANY,
            "mood1": t.MOODS,
            "mood2": t.MOODS,
            "mood3": t.MOODS,
            "daytime": t.DAYTIMES,
            "family": t.FAMILY,
        },
        """
        {person.name} has one {animal.first_one} and {number.word} {animal.second_many} .
        one {animal.first_one} , two {animal.first_many} .
        the {animal.first_one} is {mood1.word} . | the {animal.first_one} was {mood1.word} .
        the {animal.second_many} are {mood2.word} . | the {animal.second_many} were {mood2.word} .
        every {daytime.word} {person.she} feeds the {animal.second_many} .
        {person.name} gives the {animal.first_one} to {person.her} {mood3.word} {family.word} .
        """,
    ),
    read_story(
        "work",
        {
            "person": t.PEOPLE,
            "job": pairs(t.JOBS, "first", "second"),
            "family": t.FAMILY,
            "vehicle": t.VEHICLES,
            "hour1": t.NUMBERS,
            "mood": t.MOODS,
            "hour2": t.NUMBERS,
        },
        """
        {person.name} is a {job.first_word} .
        a {job.first_word} works in a {job.first_workplace} .
        {person.name} goes to the {job.first_workplace} by {vehicle.word} at {hour1.word} .
        {person.her} {mood.word} {family.word} is a {job.second_word} .
        the {family.word} works in a {job.second_workplace} .
        at {hour2.word} {person.she} meets {person.her} {family.word} at the {job.second_workplace} .
        """,
    ),
    read_story(
        "friends",
        {
            "pair": pairs(t.PEOPLE, "first", "second"),
            "game": t.GAMES,
            "town": t.TOWN,
            "weather": t.WEATHER,
            "drink": t.DRINKS,
            "food": t.FOODS,
            "day": t.DAYS,
        },
        """
        {pair.first_name} and {pair.second_name} are friends .
        they play {game.word} near the {town.word} . | they play {game.word} when it is {weather.word} .
        {pair.first_name} wins and {pair.first_she} is glad .
        {pair.second_name} loses but {pair.second_she} does not mind .
        the two friends share {food.word} and {drink.word} .
        on {day.first} {pair.first_name} and {pair.second_name} play {game.word} again .
        """,
    ),
)
