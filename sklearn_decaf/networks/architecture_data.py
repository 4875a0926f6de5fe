"""Architectures as text: JSON, written from the fields of layers, and read as from a stranger.

A file of weights and a pickle carry the network that computes with them in this form. The pixels of
a mean image are not text: it stands for them with its checksum, and they come beside it.
"""

from __future__ import annotations

import copyreg
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..exceptions import WeightsError
from .architecture import POOLINGS, Architecture, Preprocessing
from .layers import KINDS, Layer, Shape
from .mean_image import MeanImage

VERSION = 1
MAX_TEXT = 2**20  # characters; the largest network that is known takes a tenth of that
MAX_LAYERS = 2**13
MAX_NAME = 500  # characters
MAX_INPUTS = 2**16  # of all layers together
MAX_SIDE = 2**12  # pixels of an input image
MAX_VALUES = 2**27  # of one map, its border included: 512 MiB
MAX_PARAMETERS = 2**32  # numbers of all layers together
_MAX_INTEGER = 2**24  # of any field, such as the number of filters
_MAX_NUMBER = 1e9

_BY_NAME = {kind.__name__: kind for kind in KINDS}
_INFINITY = "inf"


def to_text(architecture: Architecture) -> str:
    """Write an architecture as JSON, from which :func:`from_text` makes an equal one.

    Raises
    ------
    TypeError
        If a layer is of none of the kinds in :mod:`sklearn_decaf.networks.layers`.
    """
    for layer in architecture.layers:
        if _BY_NAME.get(type(layer).__name__) is not type(layer):
            raise TypeError(
                f"layer {layer.name!r} of {architecture.name!r} is of type "
                f"{type(layer).__name__}, which is none of the kinds in "
                "sklearn_decaf.networks.layers: such a network cannot be written as data"
            )
    content = {
        "version": VERSION,
        "name": architecture.name,
        "layers": [
            {"kind": type(layer).__name__, **plain_fields(layer)} for layer in architecture.layers
        ],
        "preprocessing": plain_fields(architecture.preprocessing),
        "decaf_layers": {str(n): name for n, name in architecture.decaf_layers.items()},
        "pooling": architecture.pooling,
        "layer_pooling": dict(architecture.layer_pooling),
        "dropout_layers": sorted(architecture.dropout_layers),
        "aliases": dict(architecture.aliases),
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def from_text(text: str, mean_image: MeanImage | None = None) -> Architecture:
    """Read an architecture from JSON; nothing in the text is trusted.

    Parameters
    ----------
    text : str
    mean_image : MeanImage or None
        The one that the text speaks of.

    Raises
    ------
    WeightsError
        If it is no network, or one that is too large to be meant.
    """
    content = _parse(text)
    _check_keys("the architecture", content, _KEYS)
    if content.get("version") != VERSION:
        raise WeightsError(
            f"an architecture in version {_short(content.get('version'))} of its format; "
            f"{VERSION} is known"
        )
    layers = content.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        n = f"{len(layers)} of them" if isinstance(layers, list) else _short(layers)
        raise WeightsError(f"the layers are {n}; a list of 1 to {MAX_LAYERS} is expected")
    preprocessing = _preprocessing(content.get("preprocessing"), mean_image)
    try:
        architecture = Architecture(
            _name("the architecture", content.get("name")),
            tuple(_layer(i, layer) for i, layer in enumerate(layers)),
            preprocessing,
            {
                _layer_number(n): name
                for n, name in _names("decaf_layers", content.get("decaf_layers", {})).items()
            },
            pooling=_pooling("pooling", content.get("pooling")),
            layer_pooling={
                name: _pooling(f"the pooling of {name!r}", pooling)
                for name, pooling in _object("layer_pooling", content.get("layer_pooling")).items()
            },
            dropout_layers=frozenset(_name_list(content.get("dropout_layers", []))),
            aliases=_names("aliases", content.get("aliases", {})),
        )
    except WeightsError:
        raise
    except ValueError as error:
        raise WeightsError(f"a network that cannot be: {error}") from error
    check_architecture(architecture)
    return architecture


def check_architecture(architecture: Architecture) -> None:
    """Make sure that shapes follow one from another, and that none is too large to be meant.

    Raises
    ------
    WeightsError
        If the network cannot be, or would need too much memory. It names the layer.
    """
    if len(architecture.layers) > MAX_LAYERS:
        raise WeightsError(f"{len(architecture.layers)} layers; at most {MAX_LAYERS} are expected")
    if sum(len(layer.inputs) for layer in architecture.layers) > MAX_INPUTS:
        raise WeightsError(f"its layers have more than {MAX_INPUTS} inputs")
    h, w, _ = architecture.input_shape
    if not 1 <= min(h, w) <= max(h, w) <= MAX_SIDE:
        raise WeightsError(f"an input of {h} x {w} pixels; 1 to {MAX_SIDE} are expected")
    shapes: dict[str, Shape] = {"": architecture.input_shape}
    before, n_parameters = "", 0
    for layer in architecture.layers:
        names = layer.inputs or (before,)
        inputs = [shapes.get(name, architecture.input_shape) for name in names]
        try:
            sizes = [math.prod(layer.output_shape(*inputs)), *_padded_sizes(layer, inputs)]
            shapes[layer.name] = layer.output_shape(*inputs)
            own = sum(map(math.prod, layer.parameter_shapes(*inputs).values()))
        except (ValueError, ArithmeticError, TypeError, LookupError) as error:
            raise WeightsError(
                f"layer {_short(layer.name)} of type {type(layer).__name__} cannot read "
                f"{reprlib.repr(inputs)}: {_clipped(str(error))}"
            ) from error
        if not 1 <= min(sizes) <= max(sizes) <= MAX_VALUES:
            raise WeightsError(
                f"layer {_short(layer.name)} of type {type(layer).__name__} makes maps of "
                f"{_clipped(str(shapes[layer.name]))}, or borders that are as large: more than "
                f"{MAX_VALUES} values, or none"
            )
        n_parameters += own
        if n_parameters > MAX_PARAMETERS:
            raise WeightsError(f"more than {MAX_PARAMETERS} parameters up to {_short(layer.name)}")
        before = layer.name


def _padded_sizes(layer: Layer, inputs: list[Shape]) -> list[int]:
    pads = getattr(layer, "pads", None)
    if pads is None:
        return []
    ((h, w, c),) = inputs
    (top, bottom), (left, right) = pads((h, w, c))
    return [(h + top + bottom) * (w + left + right) * c]


def _reduce(architecture: Architecture) -> tuple:
    return from_text, (to_text(architecture), architecture.preprocessing.mean_image)


copyreg.pickle(Architecture, _reduce)


# Writing --------------------------------------------------------------------------------------


def plain_fields(value: Layer | Preprocessing) -> dict[str, Any]:
    """The fields of a layer, or of the preprocessing, that are not at their default, as JSON."""
    return {
        field.name: _plain(found)
        for field in fields(value)
        if (found := getattr(value, field.name)) != field.default
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if type(value).__name__ in ("bool", "bool_"):  # of Python or of NumPy
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _INFINITY if float(value) == math.inf else float(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, MeanImage):
        return value.sha256
    raise TypeError(f"{value!r} cannot be written as data")


# Reading --------------------------------------------------------------------------------------


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise WeightsError(f"an architecture of {len(text)} characters; {MAX_TEXT} are allowed")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise WeightsError("the architecture has the same key twice in an object")
        return dict(pairs)

    def integer(digits: str) -> int:
        return int(digits) if len(digits) <= 15 else refuse(digits)

    def refuse(number: str) -> Any:
        raise WeightsError(f"the architecture holds the number {_short(number)}")

    try:
        content = json.loads(
            text, object_pairs_hook=unique, parse_int=integer, parse_constant=refuse
        )
    except WeightsError:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightsError("the architecture is not JSON") from error
    return _object("the architecture", content)


def _layer(i: int, content: Any) -> Layer:
    where = f"layer {i}"
    content = dict(_object(where, content))
    kind = content.pop("kind", None)
    if not isinstance(kind, str) or kind not in _BY_NAME:
        raise WeightsError(
            f"{where} is of kind {_short(kind)}; there are {', '.join(sorted(_BY_NAME))}"
        )
    where = f"layer {i} ({_short(_name(where, content.get('name')))}, {kind})"
    layer = _BY_NAME[kind](**_checked_fields(where, _BY_NAME[kind], content))
    for name in layer.inputs:
        _name(f"an input of {where}", name)
    return layer


def _preprocessing(content: Any, mean_image: MeanImage | None) -> Preprocessing:
    content = dict(_object("the preprocessing", content))
    wanted = content.pop("mean_image", None)
    found = None if mean_image is None else mean_image.sha256
    if wanted != found:
        raise WeightsError(
            f"its mean image has the checksum {_short(wanted)}, and the one that comes with it "
            f"{_short(found)}"
        )
    preprocessing = Preprocessing(
        **_checked_fields("the preprocessing", Preprocessing, content), mean_image=mean_image
    )
    if preprocessing.channel_order not in ("rgb", "bgr"):
        order = _short(preprocessing.channel_order)
        raise WeightsError(f"channels in the order {order}; 'rgb' or 'bgr' is expected")
    if min(preprocessing.std) < 1e-6:
        raise WeightsError(f"deviations of {preprocessing.std}; positive ones are expected")
    if preprocessing.resize > 4 * MAX_SIDE:
        raise WeightsError(f"pictures are resized to {preprocessing.resize} pixels")
    if mean_image is not None:
        preprocessing.crop_mean()  # raises if it is too small
    return preprocessing


def _checked_fields(where: str, cls: type, content: Mapping[str, Any]) -> dict[str, Any]:
    known = _hints(cls)
    _check_keys(where, content, known)
    checked = {}
    for name, value in content.items():
        hint, field = known[name]
        try:
            checked[name] = _checked(hint, value, field.default)
        except _Misfit:
            raise WeightsError(f"{where}: {name} cannot be {_short(value)}") from None
    for name, (_, field) in known.items():
        if field.default is MISSING and name not in content:
            raise WeightsError(f"{where} has no {name}")
    return checked


@cache
def _hints(cls: type) -> dict[str, tuple[Any, Field]]:
    """Type and field of everything that a dataclass holds, by name."""
    hints = get_type_hints(cls)
    return {field.name: (hints[field.name], field) for field in fields(cls)}


class _Misfit(Exception):
    """A value that is not of the type that a field has."""


def _checked(hint: Any, value: Any, default: Any) -> Any:
    """A value from JSON as the type asks for it."""
    kind = get_origin(hint)
    if kind in (Union, UnionType):
        for option in get_args(hint):
            try:
                return _checked(option, value, default)
            except _Misfit:
                pass
        raise _Misfit
    if kind is tuple and isinstance(value, list):
        options = get_args(hint)
        if options[-1] is Ellipsis:
            return tuple(_checked(options[0], item, default) for item in value)
        if len(options) == len(value):
            return tuple(_checked(o, item, default) for o, item in zip(options, value))
    if hint is float and value == _INFINITY and default == math.inf:
        return math.inf
    # a number that may be 0 is 0 unless it is given, as paddings are
    lowest = 0 if default == 0 or default is MISSING else 1
    is_number = type(value) in (int, float) and abs(value) <= _MAX_NUMBER  # and not NaN
    fits = (
        (hint is bool and type(value) is bool)
        or (hint is int and type(value) is int and lowest <= value <= _MAX_INTEGER)
        or (hint is float and is_number)
        or (hint is str and type(value) is str and len(value) <= MAX_NAME)
        or (hint is NoneType and value is None)
    )
    if not fits:
        raise _Misfit
    return value


_KEYS = frozenset({"version", *(field.name for field in fields(Architecture))})


def _check_keys(where: str, content: Mapping[str, Any], known: Any) -> None:
    for key in content:
        if key not in known:
            raise WeightsError(f"{where} has the unknown field {_short(key)}")


def _object(where: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise WeightsError(f"{where} is {_short(content)}; a JSON object is expected")
    return content


def _name(where: str, name: Any) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise WeightsError(
            f"{where} is called {_short(name)}; printable text of 1 to {MAX_NAME} characters is "
            "expected"
        )
    return name


def _names(where: str, content: Any) -> dict[str, str]:
    content = _object(where, content)
    return {_name(where, key): _name(where, name) for key, name in content.items()}


def _name_list(content: Any) -> list[str]:
    if not isinstance(content, list):
        raise WeightsError(f"dropout_layers is {_short(content)}; a list is expected")
    return [_name("dropout_layers", name) for name in content]


def _layer_number(text: str) -> int:
    if text not in tuple("123456789"):
        raise WeightsError(f"a layer has the number {_short(text)}; 1 to 9 are expected")
    return int(text)


def _pooling(where: str, value: Any) -> str | None:
    if value not in POOLINGS or value == "auto":
        raise WeightsError(f"{where} is {_short(value)}; there are {', '.join(map(str, POOLINGS))}")
    return value


def _short(value: Any) -> str:
    return _clipped(reprlib.repr(value))


def _clipped(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
