"""The wire format of protocol buffers: fields of a message, one after the other.

The protobuf runtime would need the schema compiled into the package, and it copies every number
of a 240 MB file into objects of its own before anything can be checked. The wire format is four
kinds of field; read directly, the numbers stay where they lie in the file, and a message cannot
nest deeper than its reader asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...exceptions import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 200_000


class FieldReader:
    """Reads messages of one file, and stops after `MAX_FIELDS` fields in all."""

    def __init__(self):
        self._left = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
        """(number, kind, value) of each field: an integer, or the bytes of the other kinds."""
        at = 0
        while at < len(message):
            self._left -= 1
            if self._left < 0:
                raise WeightsError(f"more than {MAX_FIELDS} fields")
            tag, at = varint(message, at)
            number, kind = tag >> 3, tag & 7
            if kind == VARINT:
                value, at = varint(message, at)
                yield number, kind, value
                continue
            if kind == BYTES:
                length, at = varint(message, at)
            elif kind in (FIXED32, FIXED64):
                length = 4 if kind == FIXED32 else 8
            else:
                raise WeightsError(f"a field of kind {kind}, which is not in use")
            if number == 0 or length > len(message) - at:
                raise WeightsError(
                    f"field {number} of {length} bytes in a message that has "
                    f"{len(message) - at} left: truncated or damaged"
                )
            yield number, kind, message[at : at + length]
            at += length


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer at a position, seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WeightsError("a message ends inside a number: truncated or damaged")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise WeightsError("a number of more than ten bytes")


def varints(data: memoryview, most: int) -> list[int]:
    """Packed integers, at most so many."""
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
        if len(values) > most:
            raise WeightsError(f"more than {most} numbers where a shape is expected")
    return values


def text(value: int | memoryview) -> str:
    """A field of text."""
    try:
        return str(value, "utf-8")
    except (TypeError, UnicodeDecodeError) as error:
        raise WeightsError("a name that is not text") from error
