"""Known networks first; where none fits, the network that the file itself describes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Preprocessing
from ..formats import Contents
from ..graphs import Structure, read_structure
from .conversion import as_parameter, convert
from .matching import Match

_IN_A_PROTOTXT = " What its layers do is not in this file: it is in a prototxt, which is not read."


def convert_or_describe(
    contents: Contents,
    architecture: str | None,
    *,
    name: str,
    preprocessing: Preprocessing | None = None,
    keep_views: bool = False,
) -> tuple[Match | Structure, dict[str, np.ndarray]]:
    """Recognise a known network in a file, or take its layers as the file describes them.

    Parameters
    ----------
    contents : Contents
    architecture : str or None
        Name of a known network: then no other is looked for.
    name : str
        What a network is called that nobody knows.
    preprocessing : Preprocessing or None
        What such a network wants to see.
    keep_views : bool, default=False
        Whether arrays that need no change may be views of those of `contents`.

    Returns
    -------
    match : Match or Structure
    parameters : dict of str to ndarray
        float32, C-contiguous, read-only, in the architecture's order.

    Raises
    ------
    WeightsError
        If no known network fits, and the file describes none that can be computed.
    """
    unknown = contents.problem
    if not unknown:
        try:
            return convert(contents, architecture, keep_views=keep_views)
        except WeightsError as error:
            unknown = str(error)
    if architecture is not None or contents.graph is None:
        layers_elsewhere = architecture is None and contents.layers
        raise WeightsError(unknown + (_IN_A_PROTOTXT if layers_elsewhere else ""))
    try:
        found = read_structure(contents, name, preprocessing)
    except WeightsError as error:
        if unknown == contents.problem:
            raise
        raise WeightsError(f"{unknown} Nor can its own layers be used: {error}") from error
    if not contents.problem:  # what is different from the closest known network
        _, _, difference = unknown.partition("Closest is ")
        if difference:
            found = replace(found, evidence=f"{found.evidence}; closest is {difference[:300]}")
    return found, {key: as_parameter(key, array) for key, array in found.parameters.items()}
