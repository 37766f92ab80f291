"""The facts of the small world: what has which capital, what follows what, what is the plural of what.

A `Table` is a list of rows with named columns.  A story (see `stories.py`) draws one row of each of its tables, all
rows being equally likely, and writes columns of that row into its sentences: one row of `PEOPLE` gives a name and the
pronouns that agree with it, one row of `SUMS` two numbers, their sum and the nouns in the right number.  So everything
that must agree stands in one row, and different tables of a story are independent: that is why `truth.py` can be exact.

Here: the tables, and how larger ones are made of smaller ones.  Not here: sentences.  Read next: `stories.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property


class Table:
    """Equally likely rows with named columns; a set of rows is an integer, in which bit i stands for row i.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequences of str, each as long as `columns`

    Examples
    --------
    >>> PLACES.columns
    ('country', 'capital', 'language', 'continent')
    >>> PLACES.cell(0, "capital")
    'paris'
    >>> PLACES.rows_with("language", "german").bit_count()
    2
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.columns = tuple(columns)
        self.rows = tuple(tuple(row) for row in rows)
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of a table with the columns {' '.join(self.columns)} is {' '.join(row)!r}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def all_rows(self) -> int:
        """The set of all rows."""
        return (1 << len(self.rows)) - 1

    def cell(self, row: int, column: str) -> str:
        """The word in one column of one row."""
        return self.rows[row][self.columns.index(column)]

    def words(self, column: str) -> dict[str, int]:
        """Every word of a column with the set of rows that hold it; a column that is not there is a KeyError."""
        return self._index[column]

    def rows_with(self, column: str, word: str) -> int:
        """The set of rows with this word in this column: 0 if there is none."""
        return self._index[column].get(word, 0)

    @cached_property
    def _index(self) -> dict[str, dict[str, int]]:
        index: dict[str, dict[str, int]] = {column: {} for column in self.columns}
        for i, row in enumerate(self.rows):
            for column, word in zip(self.columns, row, strict=True):
                index[column][word] = index[column].get(word, 0) | 1 << i
        return index


def table(columns: str, text: str) -> Table:
    """A table from text: one row a line, or one word a row if there is one column.

    Examples
    --------
    >>> len(table("word", "red green blue"))
    3
    """
    names = columns.split()
    rows = [[word] for word in text.split()] if len(names) == 1 else [line.split() for line in text.strip().split("\n")]
    return Table(names, rows)


def pairs(single: Table, first: str, second: str, differ: Sequence[str] = ()) -> Table:
    """All ordered pairs of different rows; the columns get the prefixes `first` and `second`.

    Parameters
    ----------
    single : Table
    first, second : str
        "home" and "away" turn the column `capital` into `home_capital` and `away_capital`.
    differ : sequence of str
        Columns of which no word of one row may be any word of the other: keeps "hot cold" from meeting "cold hot".

    Examples
    --------
    >>> len(pairs(COLOURS, "first", "second")) == len(COLOURS) * (len(COLOURS) - 1)
    True
    """

    def taken(row: Sequence[str]) -> set[str]:
        return {row[single.columns.index(column)] for column in differ}

    columns = [f"{prefix}_{column}" for prefix in (first, second) for column in single.columns]
    rows = [a + b for a in single.rows for b in single.rows if a != b and not taken(a) & taken(b)]
    return Table(columns, rows)


def _split(text: str) -> list[str]:
    return text.split()


def runs(words: Sequence[str], columns: Sequence[str]) -> Table:
    """Consecutive members of a circle, such as days: row i holds word i, the word after it, and so on.

    Examples
    --------
    >>> runs(["a", "b", "c"], ["now", "next"]).rows
    (('a', 'b'), ('b', 'c'), ('c', 'a'))
    """
    return Table(columns, ([words[(i + k) % len(words)] for k in range(len(columns))] for i in range(len(words))))


_NAMES = {
    "she her her": "anna maria emma sara julia laura alice clara nina eva helen lucy ruth rosa mary kate",
    "he his him": "tom peter paul max leo david john mark hugo felix oscar simon martin victor henry ben",
}
PEOPLE = Table(
    ("name", "she", "her", "him"),
    [(name, *pronouns.split()) for pronouns, names in _NAMES.items() for name in names.split()],
)
FAMILY = table("word", "mother father sister brother aunt uncle cousin friend grandmother grandfather")
PLACES = table(
    "country capital language continent",
    """france paris french europe
    italy rome italian europe
    spain madrid spanish europe
    germany berlin german europe
    england london english europe
    russia moscow russian europe
    greece athens greek europe
    portugal lisbon portuguese europe
    austria vienna german europe
    poland warsaw polish europe
    norway oslo norwegian europe
    sweden stockholm swedish europe
    finland helsinki finnish europe
    denmark copenhagen danish europe
    ireland dublin english europe
    japan tokyo japanese asia
    china beijing chinese asia
    turkey ankara turkish asia
    egypt cairo arabic africa
    kenya nairobi swahili africa
    cuba havana spanish america
    peru lima spanish america""",
)
DAYS = runs(_split("monday tuesday wednesday thursday friday saturday sunday"), ("first", "second", "third", "fourth"))
_MONTHS = _split("january february march april may june july august september october november december")
_SEASONS = _split("winter winter spring spring spring summer summer summer fall fall fall winter")
MONTHS = Table(
    ("first", "second", "season"),
    [(*pair, season) for pair, season in zip(runs(_MONTHS, ("first", "second")).rows, _SEASONS, strict=True)],
)
DAYTIMES = table("word", "morning noon evening night")

_NUMBERS = _split("one two three four five six seven eight nine ten")
NUMBERS = table("word", " ".join(_NUMBERS))
MANY = table("word", " ".join(_NUMBERS[1:]))  # what a plural can follow
THINGS = table(
    "one many",
    """apple apples
    book books
    cup cups
    ball balls
    coin coins
    egg eggs
    flower flowers
    stone stones
    key keys
    pen pens""",
)
ANIMALS = table(
    "one many",
    """dog dogs
    cat cats
    horse horses
    cow cows
    bird birds
    duck ducks
    goat goats
    mouse mice
    goose geese
    wolf wolves""",
)


def _sums() -> Table:
    """a + b = total up to six, for each kind of thing, with the noun (and the verb) that agrees with each number."""
    rows = []
    for one, many in THINGS.rows:
        for a in range(1, 6):
            for b in range(1, 7 - a):
                numbers = [_NUMBERS[n - 1] for n in (a, b, a + b)]
                nouns = [one if n == 1 else many for n in (a, b, a + b)]
                rows.append([*numbers, *nouns, "is" if a == 1 else "are"])
    return Table(("a", "b", "total", "things_a", "things_b", "things_total", "are_a"), rows)


SUMS = _sums()
COLOURS = table("word", "red blue green yellow white black orange brown purple grey")
COLOURED = table(
    "name colour",
    """sky blue
    sea blue
    grass green
    forest green
    snow white
    milk white
    coal black
    ink black
    lemon yellow
    sun yellow
    tomato red
    blood red
    carrot orange
    pumpkin orange
    chocolate brown
    mud brown
    plum purple
    elephant grey""",
)
_OPPOSITES = """hot cold, big small, tall short, fast slow, full empty, rich poor, strong weak, wet dry, hard soft,
    happy sad, light dark, loud quiet, clean dirty, high low, good bad"""
OPPOSITES = Table(
    ("word", "opposite"),
    [row for pair in _OPPOSITES.split(",") for row in (pair.split(), pair.split()[::-1])],
)
JOBS = table(
    "word workplace",
    """teacher school
    doctor hospital
    baker bakery
    farmer field
    judge court
    waiter restaurant
    sailor ship
    miner mine
    gardener garden
    librarian library
    banker bank
    painter studio
    soldier camp
    pilot plane""",
)

TOWN = table("word", "market park station museum river beach bridge theatre castle harbour")
ROOMS = table("word", "kitchen bedroom hall cellar office attic")
FURNITURE = table("word", "table chair bed desk sofa lamp")
GIFTS = table("word", "coat watch kite scarf doll shirt")
VEHICLES = table("word", "train bus car boat bicycle tram")
INSTRUMENTS = table("word", "piano violin guitar flute drum trumpet")
GAMES = table("word", "chess tennis football cards hockey golf")
FOODS = table("word", "bread rice soup cheese fish meat cake salad honey butter")
DRINKS = table("word", "tea coffee water juice lemonade")
WEATHER = table("word", "sunny rainy windy cloudy snowy foggy")
MOODS = table("word", "hungry thirsty tired calm brave clever gentle shy")
MOVING = table(
    "base third past",
    """walk walks walked
    run runs ran
    drive drives drove
    ride rides rode
    hurry hurries hurried
    go goes went
    cycle cycles cycled
    swim swims swam""",
)
SERVING = table(
    "base third past",
    """cook cooks cooked
    make makes made
    want wants wanted
    order orders ordered
    serve serves served
    choose chooses chose""",
)
