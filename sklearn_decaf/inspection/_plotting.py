"""Helpers of the displays: import of matplotlib, axes, and tiles of pictures."""

from __future__ import annotations

import math

import numpy as np

from .._utils.validation import check_integer


def import_pyplot(caller: str):
    """Import pyplot of matplotlib when it is first needed."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: run "
            "pip install 'sklearn-decaf[plot]'."
        ) from error
    return plt


def get_axes(display, ax, figsize=None):
    """Return the given axes, or those of a new figure, and store them in the display."""
    plt = import_pyplot(f"{type(display).__name__}.plot")
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def tile(pictures: np.ndarray, n_columns: int | None = None, gap: int = 1, fill=1.0) -> np.ndarray:
    """Put pictures side by side on one sheet, row by row, as square as it gets.

    Parameters
    ----------
    pictures : ndarray of shape (n, h, w) or (n, h, w, 3)
    n_columns : int, default=None
    gap : int, default=1
        Pixels between neighbours.
    fill : float, default=1.0
        Value of the gaps and of empty places.

    Returns
    -------
    ndarray of shape (rows * (h + gap) - gap, n_columns * (w + gap) - gap) or (..., 3)
    """
    n, h, w = pictures.shape[:3]
    if n_columns is None:
        n_columns = math.ceil(math.sqrt(n))
    n_columns = check_integer("n_columns", n_columns)
    n_rows = -(-n // n_columns)
    shape = (n_rows * (h + gap) - gap, n_columns * (w + gap) - gap, *pictures.shape[3:])
    sheet = np.full(shape, fill, dtype=np.result_type(pictures, np.float32))
    for i, picture in enumerate(pictures):
        top, left = (i // n_columns) * (h + gap), (i % n_columns) * (w + gap)
        sheet[top : top + h, left : left + w] = picture
    return sheet
