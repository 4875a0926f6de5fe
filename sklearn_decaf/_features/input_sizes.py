"""Networks at other input sizes than their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from .._utils.validation import is_integer
from ..networks.architecture import Architecture
from ..networks.weights.weights import Weights

Crop = int | tuple[int, int]


@lru_cache(maxsize=16)
def at_input_size(weights: Weights, crop: Crop | None, resize_to: int | None) -> Weights:
    """The same parameters in a network for images of another size; the same object each time.

    Parameters
    ----------
    weights : Weights
    crop : int, (int, int) or None
        Rows and columns of the input; None leaves them as they are.
    resize_to : int or None
        What photographs are resized to before; None enlarges or reduces it as `crop` does the
        longer side.

    Raises
    ------
    ValueError
        If the network cannot have this size. Layers that cannot be computed then, as they need
        as many values as they were trained with, are in `missing` of the result.
    """
    net = weights.architecture
    own = net.preprocessing
    if crop is None and resize_to is None:
        return weights
    shown = " and ".join(
        f"{name}={value!r}"
        for name, value in (("crop", crop), ("resize_to", resize_to))
        if value is not None
    )
    crop = own.crop if crop is None else crop
    changed = replace(own, crop=crop)
    if resize_to is None:
        resize_to = round(own.resize * max(changed.crop_sides) / max(own.crop_sides))
    if max(changed.crop_sides) > resize_to:
        raise ValueError(
            f"{shown}: what is cut out must not be larger than the resized photograph, and that "
            f"has {resize_to} pixels: resize_to must be at least {max(changed.crop_sides)}."
        )
    if own.mean_image is not None and resize_to != own.resize:
        raise ValueError(
            f"{shown}: {net.name} subtracts a mean image of photographs of {own.resize} pixels, "
            f"which has no meaning for those of {resize_to}. Pass resize_to={own.resize}, or "
            "weights with a mean pixel: networks.load_weights(path, mean=(b, g, r))."
        )
    changed = replace(changed, resize=resize_to)
    if changed == own:
        return weights
    resized = replace(net, preprocessing=changed)
    try:
        changed.crop_mean()  # raises if the mean image is too small
        missing = _out_of_reach(net, resized)
    except ValueError as error:
        raise ValueError(f"{shown}: {net.name} cannot have this input: {error}") from error
    return weights.with_architecture(resized, missing)


def _out_of_reach(net: Architecture, resized: Architecture) -> dict[str, str]:
    """Layers whose parameters have other shapes at another input size, with the reasons."""
    h, w, _ = resized.input_shape
    before, after = net.shapes(), resized.shapes()
    missing = {}
    for name in net.layer_names:
        if net.layer_parameter_shapes(name) != resized.layer_parameter_shapes(name):
            source = net.inputs(name)[0]
            missing[name] = (
                f"{name} reads all of {source}, which is {_by(after[source])} at an input of "
                f"{h} x {w} pixels, and its weights are for {_by(before[source])}"
            )
    return missing


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def check_sides(name: str, size: object) -> tuple[int, int] | None:
    """Return a size of images as height and width, or None if it is that.

    Raises
    ------
    ValueError
        If it is neither a positive integer, for both, nor two of them.
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(is_integer(side) and side >= 1 for side in sides):
        raise ValueError(
            f"{name}={size!r}: it must be a positive integer, a pair (height, width) or None."
        )
    return int(sides[0]), int(sides[1])


def check_crop(crop: object) -> Crop | None:
    """Return `crop` as an int, a pair of ints that differ, or None; see :func:`check_sides`."""
    sides = check_sides("crop", crop)
    return sides[0] if sides and sides[0] == sides[1] else sides
