"""A pickle reader that runs nothing.

Python's own unpickler is a small machine that calls whatever a file names. Restricting the names
(``find_class``) is not enough for files from strangers: an allowed ``numpy.ndarray`` call in a
file of 91 bytes allocates gigabytes, a memo index of 2**31 makes the C unpickler reserve a table
of that size, and hashing a deeply nested tuple overflows the C stack. So this module interprets
the opcodes itself. It builds numbers, text, lists, tuples and dicts. Where a file names a class or
a function it looks the name up in a table of stand-ins written for the purpose; for a name that is
not in the table there is `Foreign`, which remembers the name and what it was given, and does
nothing. So a training checkpoint can be read whatever its program kept beside the weights.

Every opcode costs a bounded amount of time and memory and is paid for by at least one byte of the
file, so both stay proportional to the file's size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial

from ...exceptions import WeightsError
from ._messages import describe

# The embedded EfficientNet takes 11,000; losses of every step of a long training some 100,000s.
MAX_OPCODES = 2_000_000
MAX_NESTING = 64
MAX_INTEGER_BYTES = 16
MAX_SHORT_STRING = 255
MAX_NAME = 500  # of a module and what is in it


class Constructor:
    """A stand-in for something a pickle may call.

    ``make`` receives the argument tuple as it came, unchecked.
    """

    def __init__(self, name: str, make: Callable[[tuple], object]):
        self.name, self.make = name, make


class Buildable:
    """Base of the stand-ins that take a state (the BUILD opcode)."""

    def build(self, state: object) -> None:
        raise NotImplementedError


class Foreign(Buildable):
    """Stand-in for an object of a class that no reader knows: it is never made.

    Attributes
    ----------
    name : str
        What the file called: ``"module.name"``.
    arguments : tuple
        What it would have been made from.
    items : dict
        What was put into it as into a dict.
    state : object
        What its attributes would have been set from.
    """

    def __init__(self, name: str, arguments: tuple = ()):
        self.name, self.arguments = name, arguments
        self.items: dict[str, object] = {}
        self.state: object = None

    def build(self, state: object) -> None:
        self.state = state

    @property
    def description(self) -> str:
        """Description for messages."""
        return f"an object of {describe(self.name)}, which is not made"


def load_pickle(
    data: memoryview,
    start: int = 0,
    *,
    names: Mapping[str, object],
    persistent: Callable[[object], object] | None = None,
    at_end: bool = False,
) -> tuple[object, int]:
    """Read one pickle and say where it ends.

    Parameters
    ----------
    data : memoryview
        The file; byte strings in the result are slices of it.
    start : int
        Where the pickle begins.
    names : mapping of str to object
        What ``"module.name"`` stands for. Only `Constructor` objects can be called. Calls of all
        other names become `Foreign` objects.
    persistent : callable or None
        Turns a persistent id into an object; None refuses them.
    at_end : bool
        Whether anything after the pickle is an error.

    Raises
    ------
    WeightsError
        If the pickle is broken or goes past a limit.
    """
    machine = _Machine(data, start, names, persistent)
    value = machine.run()
    if at_end and machine.position != len(data):
        raise WeightsError(
            f"{len(data) - machine.position} bytes follow the pickle, which ends at byte "
            f"{machine.position}"
        )
    return value, machine.position


class _Machine:
    def __init__(self, data, start, names, persistent):
        self.data = data
        self.position = start
        self.names = names
        self.persistent = persistent
        self.memo: dict[int, object] = {}
        self.stack: list[object] = []
        self.outer: list[list[object]] = []  # stacks below the open marks

    def run(self) -> object:
        for _ in range(MAX_OPCODES):
            at = self.position
            opcode = self.take(1)[0]
            if opcode == 0x2E:  # STOP
                value = self.pop()
                if self.stack or self.outer:
                    raise self.broken("the pickle ends with values left over")
                return value
            step = _STEPS.get(opcode)
            if step is None:
                raise WeightsError(
                    f"pickle opcode {bytes([opcode])!r} at byte {at} is not one that weight "
                    "files use"
                )
            step(self)
        raise WeightsError(f"the pickle has more than {MAX_OPCODES} opcodes")

    def broken(self, what: str) -> WeightsError:
        return WeightsError(f"{what} (pickle, near byte {self.position})")

    # -- reading the file --

    def take(self, n: int) -> memoryview:
        end = self.position + n
        if end > len(self.data):
            raise WeightsError(
                f"the pickle wants {n} bytes at byte {self.position}, but the file ends at byte "
                f"{len(self.data)}: it is truncated or damaged"
            )
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, code: str) -> int | float:
        layout = _STRUCTS[code]
        return layout.unpack(self.take(layout.size))[0]

    def text(self, piece: memoryview) -> str:
        try:
            return str(piece, "utf-8", "surrogatepass")  # as Python writes it
        except UnicodeDecodeError as error:
            raise self.broken("text that is not UTF-8") from error

    def line(self) -> str:
        # names are short; looking no further keeps a file without newlines cheap
        window = bytes(self.data[self.position : self.position + 256])
        length = window.find(b"\n")
        if length < 0:
            raise self.broken("a name without an end")
        self.position += length + 1
        return self.text(memoryview(window)[:length])

    # -- the stack --

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise self.broken("the pickle takes a value that is not there")
        return self.stack.pop()

    def top(self, kind: type, what: str):
        if not self.stack or not isinstance(self.stack[-1], kind):
            found = describe(self.stack[-1]) if self.stack else "nothing"
            raise self.broken(f"{what} expected, {found} found")
        return self.stack[-1]

    def mark(self) -> None:
        if len(self.outer) >= MAX_NESTING:
            raise WeightsError(f"the pickle nests more than {MAX_NESTING} deep")
        self.outer.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        if not self.outer:
            raise self.broken("the pickle closes what it never opened")
        items, self.stack = self.stack, self.outer.pop()
        return items

    def pop_tuple(self, n: int) -> tuple:
        return tuple([self.pop() for _ in range(n)][::-1])

    # -- containers --

    def append(self, items: list[object]) -> None:
        target = self.top(list | Foreign, "a list")
        if isinstance(target, list):
            target.extend(items)

    def set_items(self, items: list[object]) -> None:
        target = self.top(dict | Foreign, "a dict")
        entries = target.items if isinstance(target, Foreign) else target
        if len(items) % 2:
            raise self.broken("a dict key without a value")
        for key, value in zip(items[::2], items[1::2]):
            text = self.key(key)
            if text is None:  # what nobody can ask for by a name
                continue
            if text in entries:
                raise self.broken(f"the key {describe(text)} is there twice")
            entries[text] = value

    def key(self, key: object) -> str | None:
        """A dict key as text; None for what is neither text nor a number.

        Numbers themselves would not do: chosen ones collide, and the dict becomes a slow list.
        """
        if isinstance(key, str):
            return key
        if isinstance(key, bytes):  # how Python 2 wrote text
            return key.decode("latin-1")
        return str(key) if isinstance(key, int | float) else None

    def add(self, items: list[object]) -> None:
        self.top(Foreign, "a set")

    # -- the memo --

    def remember(self, index: int) -> None:
        if not self.stack:
            raise self.broken("the pickle memoizes a value that is not there")
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise self.broken(f"memo entry {index} was never written")
        self.push(self.memo[index])

    # -- names and what they stand for --

    def find(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self.broken("a name that is not text")
        # long names would be joined for a few bytes each time that the file refers to them
        full = f"{module}.{name}" if len(module) + len(name) <= MAX_NAME else "a very long name"
        if full in self.names:
            self.push(self.names[full])
        else:
            self.push(Constructor(full, lambda arguments: Foreign(full, arguments)))

    def call(self) -> None:
        arguments = self.pop()
        function = self.pop()
        if isinstance(function, Foreign):  # such as a functools.partial
            function = Constructor(function.name, partial(Foreign, function.name))
        if not isinstance(function, Constructor) or not isinstance(arguments, tuple):
            raise self.broken(f"{describe(function)} cannot be called")
        self.push(function.make(arguments))

    def call_with_keywords(self) -> None:
        self.pop()
        self.call()

    def make_object(self) -> None:
        """The old-style instances of Python 2: a class and its arguments, above a mark."""
        items = self.pop_mark()
        self.push(items[0] if items else None)
        self.push(tuple(items[1:]))
        self.call()

    def build(self) -> None:
        state = self.pop()
        target = self.top(Buildable, "something with a state")
        target.build(state)

    def persistent_id(self) -> None:
        if self.persistent is None:
            raise self.broken("a reference to data outside the pickle")
        self.push(self.persistent(self.pop()))

    # -- scalars --

    def long(self, size: int) -> None:
        if size < 0:
            raise self.broken(f"an integer of {size} bytes")
        raw = self.take(size)
        if size > MAX_INTEGER_BYTES:  # such as the state of a random number generator
            self.push(Foreign("a long integer"))
        else:
            self.push(int.from_bytes(raw, "little", signed=True))

    def binary(self, size: int) -> None:
        if size < 0:
            raise self.broken(f"a string of {size} bytes")
        piece = self.take(size)
        # short strings may be names (Python 2 wrote both alike); long ones stay in the file
        self.push(bytes(piece) if size <= MAX_SHORT_STRING else piece)

    def skip_frame(self) -> None:
        size = self.number("Q")
        if size > len(self.data) - self.position:
            raise self.broken(f"a frame of {size} bytes goes past the end of the file")

    def protocol(self) -> None:
        version = self.number("B")
        if not 2 <= version <= 5:
            raise self.broken(f"pickle protocol {version}; 2 to 5 can be read")


_STRUCTS = {code: struct.Struct("<" + code) for code in "BHiIQ"} | {"d": struct.Struct(">d")}

_STEPS: dict[int, Callable[[_Machine], None]] = {
    ord(opcode): step
    for opcode, step in {
        "\x80": _Machine.protocol,
        "\x95": _Machine.skip_frame,
        "(": _Machine.mark,
        "0": _Machine.pop,
        "1": _Machine.pop_mark,
        "2": lambda m: m.push(m.top(object, "a value")),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "J": lambda m: m.push(m.number("i")),
        "K": lambda m: m.push(m.number("B")),
        "M": lambda m: m.push(m.number("H")),
        "\x8a": lambda m: m.long(m.number("B")),
        "\x8b": lambda m: m.long(m.number("i")),
        "G": lambda m: m.push(m.number("d")),
        "U": lambda m: m.binary(m.number("B")),
        "T": lambda m: m.binary(m.number("i")),
        "C": lambda m: m.binary(m.number("B")),
        "B": lambda m: m.binary(m.number("I")),
        "\x8e": lambda m: m.binary(m.number("Q")),
        "\x96": lambda m: m.binary(m.number("Q")),
        "X": lambda m: m.push(m.text(m.take(m.number("I")))),
        "\x8c": lambda m: m.push(m.text(m.take(m.number("B")))),
        "\x8d": lambda m: m.push(m.text(m.take(m.number("Q")))),
        "]": lambda m: m.push([]),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.pop_mark()),
        ")": lambda m: m.push(()),
        "\x85": lambda m: m.push(m.pop_tuple(1)),
        "\x86": lambda m: m.push(m.pop_tuple(2)),
        "\x87": lambda m: m.push(m.pop_tuple(3)),
        "t": lambda m: m.push(tuple(m.pop_mark())),
        "}": lambda m: m.push({}),
        "s": lambda m: m.set_items(list(m.pop_tuple(2))),
        "u": lambda m: m.set_items(m.pop_mark()),
        "\x8f": lambda m: m.push(Foreign("a set")),
        "\x90": lambda m: m.add(m.pop_mark()),
        "\x91": lambda m: m.push(Foreign("a set", tuple(m.pop_mark()))),
        "q": lambda m: m.remember(m.number("B")),
        "r": lambda m: m.remember(m.number("I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "h": lambda m: m.recall(m.number("B")),
        "j": lambda m: m.recall(m.number("I")),
        "c": lambda m: m.find(m.line(), m.line()),
        "\x93": lambda m: m.find(*m.pop_tuple(2)),
        "R": _Machine.call,
        "\x81": _Machine.call,  # NEWOBJ: the class and its arguments, on the stack as for a call
        "\x92": _Machine.call_with_keywords,
        "o": _Machine.make_object,
        "b": _Machine.build,
        "Q": _Machine.persistent_id,
    }.items()
}
