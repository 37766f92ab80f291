"""A pickle machine that cannot run code: 34 opcodes over plain values, and names looked up in a table.

A pickle is a program for a small stack machine. The standard library's machine imports whatever name the
program asks for and calls it with whatever arguments, so opening a pickle is running it. The one here knows
only the opcodes that PyTorch's files consist of. A name is looked up in the table of the caller, and what
stands there is a token of this project, never the object of that name; only a token may be called. There is
no import, no ``getattr`` and no ``eval`` in this file. Every other opcode or name ends the reading, in a
message that says what was asked for.

A hostile pickle cannot exhaust the machine either: it executes at most a million opcodes (a BERT and its
optimizer need 25,000), compares every length with the bytes that are left before reading, and never
recurses. What is not here: tensors. Read next: ``torch_tensors.py``.
"""

import pickletools
import reprlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from .errors import CheckpointError

MOST_BYTES = 16 << 20
"""How long a pickle may be. Weights are not in it: that of a BERT and its optimizer has half a megabyte."""
MOST_OPCODES = 1_000_000
_LONGEST_NAME = 1000  # bytes of a module or of a name in it
_LONGEST_INTEGER = 16  # bytes; the longest in use is PyTorch's magic number of 10
_LARGEST_KEY = 2**61 - 2  # larger integers can be made to have equal hashes, which makes a dict quadratic

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 2
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 8
_BRIEF.maxstring = _BRIEF.maxother = 120

_OPCODE_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


@dataclass(frozen=True, eq=False, repr=False)
class Token:
    """What a name in a pickle stands for; ``call`` is given the arguments, or is None if it cannot be called."""

    name: str
    call: Callable[[tuple[Any, ...]], Any] | None = None

    def __repr__(self) -> str:
        return self.name


class OrderedDict(dict[Any, Any]):
    """What ``collections.OrderedDict`` becomes: dicts are ordered anyway, but only this one may have a state."""

    __slots__ = ()

    def __repr__(self) -> str:  # for messages; that of dict would follow whatever a hostile file has nested
        return f"OrderedDict of {len(self)}"


def load(
    file: BinaryIO,
    size: int,
    names: Mapping[tuple[str, str], Token],
    where: str,
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle from the position of ``file``, which stands behind it afterwards.

    Parameters
    ----------
    file : binary file
    size : int
        How many bytes are left in the file. The pickle may end before them.
    names : mapping of (module, name) to Token
        Every name that the pickle may ask for. A token that has no ``call`` is just a value.
    where : str
        What is being read, for messages.
    persistent_load : callable, optional
        Returns the object that a persistent id refers to. Without it, persistent ids are refused.

    Returns
    -------
    object
        Made of None, booleans, numbers, text, tuples, lists, dicts, tokens and what the callables return.

    Raises
    ------
    CheckpointError
        If the pickle asks for a name that is not listed, uses an opcode or a value in a way that weights never
        need, is longer than :data:`MOST_BYTES` or :data:`MOST_OPCODES`, or is cut off or damaged.

    Examples
    --------
    >>> import fractions, io, pickle
    >>> def reading(value):
    ...     data = pickle.dumps(value, protocol=2)
    ...     return load(io.BytesIO(data), len(data), {}, "example")
    >>> reading({"steps": [1, 2.5]})
    {'steps': [1, 2.5]}
    >>> reading(fractions.Fraction)
    Traceback (most recent call last):
    bert_numpy.checkpoints.errors.CheckpointError: example: the pickle asks for 'fractions.Fraction', which
    weights do not need; refused, and nothing was run (if it is a training checkpoint, save the state_dict of
    its model alone)
    """
    return _Machine(file, size, names, where, persistent_load).run()


def brief(value: Any) -> str:
    """Return a value for a message, without following what is nested in it: that may be a million objects.

    Examples
    --------
    >>> brief(("storage", [1, 2], [[1], [2]]))
    "('storage', [1, 2], [[...], [...]])"
    """
    text = _BRIEF.repr(value)
    return text if len(text) <= 160 else f"{text[:120]}...{text[-37:]}"


def _ordered_dict(arguments: tuple[Any, ...]) -> OrderedDict:
    """Empty, as Python 3 makes it before it sets the items; or from pairs, as Python 2 did."""
    result = OrderedDict()
    if len(arguments) == 1 and type(arguments[0]) is list:
        for pair in arguments[0]:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise ValueError(f"a pair of key and value was wanted, found {brief(pair)}")
            _set_item(result, *pair)
    elif arguments:
        raise ValueError(f"no arguments were wanted, found {brief(arguments)}")
    return result


ORDERED_DICT = Token("collections.OrderedDict", _ordered_dict)


def _set_item(target: dict[Any, Any], key: Any, value: Any) -> None:
    if type(key) is not str and not (type(key) is int and abs(key) <= _LARGEST_KEY):
        raise ValueError(f"a dict has the key {brief(key)}, text or an ordinary integer was wanted")
    if key in target:
        raise ValueError(f"the key {brief(key)} appears twice")
    target[key] = value


class _Machine:
    """The state of one reading. Faults are ValueErrors, to which ``run`` adds the place and the opcode."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        names: Mapping[tuple[str, str], Token],
        where: str,
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        self.file = file
        self.left = min(size, MOST_BYTES)
        self.whole = size <= MOST_BYTES
        self.names = names
        self.where = where
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each open mark
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self) -> Any:
        code = -1
        try:
            while code != _STOP:
                code = self.read(1)[0]
                self.steps += 1
                if self.steps > MOST_OPCODES:
                    raise ValueError(f"more than {MOST_OPCODES} opcodes, which is no description of weights")
                action = _ACTIONS.get(code)
                if action is None:
                    self.refuse(code)
                else:
                    action(self)
            if len(self.stack) != 1 or self.outer:
                raise ValueError("it ends with more or less than one object")
            return self.stack[0]
        except CheckpointError:
            raise
        except ValueError as error:
            opcode = _OPCODE_NAMES.get(code, f"opcode 0x{code:02x}") if code >= 0 else "the first opcode"
            raise CheckpointError(f"{self.where}: {opcode} in the pickle: {error}") from error

    # Bytes and the stack

    def read(self, count: int) -> bytes:
        if count > self.left:
            if not self.whole:
                raise ValueError(f"the pickle is longer than {MOST_BYTES} bytes, which is no description of weights")
            raise ValueError(f"{count} bytes should follow, but only {self.left} do; the file is cut off or damaged")
        data = self.file.read(count)
        if len(data) != count:
            raise ValueError("the file changed its size while it was read")
        self.left -= count
        return data

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.read(width), "little")

    def line(self) -> str:
        data = self.file.readline(min(self.left, _LONGEST_NAME + 1))
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise ValueError(f"a name that is cut off or longer than {_LONGEST_NAME} bytes: {brief(data)}")
        return _text(data[:-1])

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("it takes more values than there are")
        return self.stack.pop()

    def top(self, wanted: tuple[type, ...], what: str) -> Any:
        target = self.stack[-1] if self.stack else None
        if type(target) not in wanted:
            raise ValueError(f"it changes {brief(target)}, which is not {what}")
        return target

    def pop_mark(self) -> list[Any]:
        if not self.outer:
            raise ValueError("it goes back to a mark that was never set")
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    # Opcodes

    def protocol(self) -> None:
        found = self.unsigned(1)
        if found != 2:
            raise ValueError(f"protocol {found}, where torch.save writes 2 unless told otherwise; save the file again")

    def integer(self) -> None:
        count = self.unsigned(1)
        if count > _LONGEST_INTEGER:
            raise ValueError(f"an integer of {count} bytes, {_LONGEST_INTEGER} at most were wanted")
        self.push(int.from_bytes(self.read(count), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def remember(self, width: int) -> None:
        index = self.unsigned(width)
        if index >= self.steps:  # whoever writes a pickle counts from 0, once per object at most
            raise ValueError(f"memo number {index} after {self.steps} opcodes")
        if not self.stack:
            raise ValueError("there is no value to remember")
        self.memo[index] = self.stack[-1]

    def recall(self, width: int) -> None:
        index = self.unsigned(width)
        if index not in self.memo:
            raise ValueError(f"memo number {index} was never set")
        self.push(self.memo[index])

    def append(self) -> None:
        item = self.pop()
        self.top((list,), "a list").append(item)

    def appends(self) -> None:
        items = self.pop_mark()
        self.top((list,), "a list").extend(items)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        _set_item(self.top((dict, OrderedDict), "a dict"), key, value)

    def set_items(self) -> None:
        items = self.pop_mark()
        if len(items) % 2:
            raise ValueError("a key has no value")
        target = self.top((dict, OrderedDict), "a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set_item(target, key, value)

    def find(self) -> None:
        module, name = self.line(), self.line()
        if (module, name) not in self.names:
            raise self.refused(f"{module}.{name}")
        self.push(self.names[module, name])

    def reduce(self) -> None:
        arguments, token = self.pop(), self.pop()
        if not isinstance(token, Token) or token.call is None:
            raise ValueError(f"it calls {brief(token)}, which cannot be called")
        if type(arguments) is not tuple:
            raise ValueError(f"it calls {token.name} with {brief(arguments)}, a tuple was wanted")
        # One opcode, but as much work as the list is long; and the same list can be given to every call.
        self.steps += sum(len(item) for item in arguments[:1] if type(item) is list)
        try:
            self.push(token.call(arguments))
        except CheckpointError:
            raise
        except ValueError as error:
            raise ValueError(f"{token.name}: {error}") from error

    def new_object(self) -> None:
        arguments, token = self.pop(), self.pop()
        if token is not ORDERED_DICT or arguments != ():
            raise ValueError(f"it creates {brief(token)}, which weights do not need")
        self.push(OrderedDict())

    def build(self) -> None:
        """Drop the state of an OrderedDict: ``_metadata``, the version numbers of PyTorch's modules."""
        state = self.pop()
        self.top((OrderedDict,), "an OrderedDict")
        if type(state) not in (dict, OrderedDict):
            raise ValueError(f"the state of an OrderedDict must be a dict, found {brief(state)}")

    def persistent(self) -> None:
        if self.persistent_load is None:
            raise ValueError("it refers to a storage, which does not belong here")
        self.push(self.persistent_load(self.pop()))

    # What is refused

    def refuse(self, code: int) -> None:
        """Name what the opcode asks for, where it asks for something by name."""
        known = _OPCODE_NAMES.get(code)
        if known is None:
            raise ValueError("there is no such opcode; the file is damaged or not a pickle")
        if known == "INST":
            raise self.refused(f"{self.line()}.{self.line()}", known)
        if known == "STACK_GLOBAL":
            name, module = self.pop(), self.pop()
            raise self.refused(f"{module}.{name}" if type(module) is type(name) is str else "a computed name", known)
        if known in ("NEWOBJ_EX", "OBJ"):
            items = self.stack or [None]
            token = items[0] if known == "OBJ" else items[max(-3, -len(items))]
            raise self.refused(token.name if isinstance(token, Token) else brief(token), known)
        if known.startswith("EXT"):
            raise self.refused(f"extension {self.unsigned(int(known[3:]))}", known)
        raise ValueError("PyTorch never writes this opcode; refused, and nothing was run")

    def refused(self, name: str, opcode: str = "") -> CheckpointError:
        root = name.split(".")[0]
        if name.startswith("torch.nn.") or root in ("transformers", "__main__", "pytorch_pretrained_bert"):
            advice = "it seems to hold a whole module; save the state_dict instead"
        else:
            advice = "if it is a training checkpoint, save the state_dict of its model alone"
        by = f" by {opcode}" if opcode else ""
        return CheckpointError(
            f"{self.where}: the pickle asks for {brief(name)}{by}, which weights do not need; refused, and "
            f"nothing was run ({advice})"
        )


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"text that is not UTF-8: {brief(data)}") from None


_STOP = ord(".")
_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    _STOP: lambda m: None,
    # Plain values. EMPTY_SET stays empty, because nothing here adds to a set: one for all will do.
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.unsigned(1)),
    ord("M"): lambda m: m.push(m.unsigned(2)),
    ord("J"): lambda m: m.push(int.from_bytes(m.read(4), "little", signed=True)),
    0x8A: _Machine.integer,
    ord("G"): lambda m: m.push(struct.unpack(">d", m.read(8))[0]),
    ord("X"): lambda m: m.push(_text(m.read(m.unsigned(4)))),
    ord("U"): lambda m: m.push(_text(m.read(m.unsigned(1)))),  # text of Python 2
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    0x8F: lambda m: m.push(frozenset()),
    # Tuples, and what fills lists and dicts
    ord("("): _Machine.mark,
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("s"): _Machine.set_item,
    ord("u"): _Machine.set_items,
    # The memo
    ord("q"): lambda m: m.remember(1),
    ord("r"): lambda m: m.remember(4),
    ord("h"): lambda m: m.recall(1),
    ord("j"): lambda m: m.recall(4),
    # Names, calls, states, storages
    ord("c"): _Machine.find,
    ord("R"): _Machine.reduce,
    0x81: _Machine.new_object,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent,
}
