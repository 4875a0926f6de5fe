"""Numbers that may differ from layer to layer: learning rates and penalties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real

ByLayer = float | Mapping[str, float]


def by_parameter(
    value: ByLayer,
    names: Iterable[str],
    argument: str,
    *,
    default: float = 0.0,
    kernels_only: bool = False,
) -> dict[str, float]:
    """Give each parameter its number.

    Parameters
    ----------
    value : float or dict of str to float
        One number for all, or numbers by names of layers. The full name of a parameter, such as
        ``"conv1.bias"``, comes before the name of its layer.
    names : iterable of str
        Full names of the parameters.
    argument : str
        What the user calls `value`, for the message.
    default : float, default=0.0
        For parameters that `value` does not speak of.
    kernels_only : bool, default=False
        Whether only kernels are meant, unless a parameter is given by its full name.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If a number is negative or not finite, or if there is no such layer.

    Examples
    --------
    >>> from sklearn_decaf.training._by_layer import by_parameter
    >>> names = ["conv1.kernel", "conv1.bias", "fc.kernel"]
    >>> by_parameter({"conv1": 0.1, "conv1.bias": 0.2}, names, "layer_rates", default=1.0)
    {'conv1.kernel': 0.1, 'conv1.bias': 0.2, 'fc.kernel': 1.0}
    """
    names = list(names)
    if not isinstance(value, Mapping):
        number = _checked(value, argument)
        return {name: number if _is_meant(name, kernels_only) else default for name in names}
    known = {*names, *map(layer_of, names)}
    for key, number in value.items():
        if key not in known:
            raise ValueError(
                f"{argument} names {key!r}, which is neither a layer with parameters nor one of "
                f"them; the layers are {', '.join(dict.fromkeys(map(layer_of, names)))}"
            )
        _checked(number, f"{argument}[{key!r}]")
    numbers = {}
    for name in names:
        inherited = value.get(layer_of(name), default) if _is_meant(name, kernels_only) else default
        numbers[name] = float(value.get(name, inherited))
    return numbers


def layer_of(name: str) -> str:
    """Return the layer that a parameter belongs to."""
    return name.rpartition(".")[0]


def is_kernel(name: str) -> bool:
    """Tell whether a parameter is a kernel, and not a bias, a scale or a shift."""
    return name.rpartition(".")[2] == "kernel"


def _is_meant(name: str, kernels_only: bool) -> bool:
    return not kernels_only or is_kernel(name)


def _checked(number: float, argument: str) -> float:
    if not isinstance(number, Real) or not 0 <= number < float("inf"):
        raise ValueError(f"{argument}={number!r} must be a finite number, 0 or larger")
    return float(number)
