"""Occlusion maps: the loss of a classifier's score where a part of a photograph is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_integer, check_option, is_integer
from ..images import read_image
from ._find import check_one_image, find_reading_options
from ._plotting import get_axes, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from typing_extensions import Self

    from .._utils.types import ImageLike

_RESPONSES = ("predict_proba", "decision_function")


def occlusion_map(
    estimator: BaseEstimator,
    image: ImageLike,
    *,
    target: object = None,
    patch: float = 0.25,
    stride: float | None = None,
    fill: Literal["mean"] | ArrayLike = "mean",
    response_method: Literal["auto", "predict_proba", "decision_function"] = "auto",
    batch_size: int = 64,
) -> Bunch:
    """Measure how much each part of a photograph contributes to a classifier's score.

    A square covers one part of the photograph at a time. The loss of the score of a class is the
    contribution of the covered part [1]_. Any classifier or pipeline that takes images will do.

    The classifier predicts one copy of the photograph for each place of the square, about 50 for a
    square photograph by default. The number grows with the inverse square of `stride`.

    Parameters
    ----------
    estimator : classifier
        A fitted classifier or pipeline that takes a list of images.
    image : image
        One image: a path, encoded bytes, a PIL image or an array.
    target : label, default=None
        Class whose score is measured. None: the class that `estimator` predicts.
    patch : float or int, default=0.25
        Side of the square: a float is a share of the image's shorter side, an int is in pixels.
    stride : float or int, default=None
        Distance between places of the square, in the same units. None: half its side.
    fill : "mean" or array-like of 3 values, default="mean"
        Colour of the square: the photograph's mean colour, or RGB values from 0 to 255.
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        Method that gives the score; "auto" takes the first of these that `estimator` has.
    batch_size : int, default=64
        Number of covered copies held in memory at a time.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        importances : ndarray of shape (height, width)
            For each pixel, the mean loss of score over the squares that cover it, in the units of
            the score. Negative where covering helps the class.
        photograph : ndarray of shape (height, width, 3), uint8
            The image as it was read.
        target : label
            Class whose score was measured.
        score : float
            Its score for the uncovered photograph.
        corners : ndarray of shape (n, 2)
            Top and left of the squares, in pixels.
        losses : ndarray of shape (n,)
            Loss of the score where each square covers the photograph.
        patch : int
            Side of the squares in pixels.

    Raises
    ------
    ImageError
        If the image cannot be read.
    NotFittedError
        If `estimator` is not fitted.
    ValueError
        If a parameter has a value that is not listed above, `image` is not one image, or
        `estimator` has no such score.

    See Also
    --------
    OcclusionDisplay : Draws the map over the photograph.

    References
    ----------
    .. [1] M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks",
       ECCV 2014, section 4.2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> from sklearn_decaf.inspection import occlusion_map
    >>> photos = load_sample_photos(subset="train")
    >>> classifier = make_pipeline(DeCAFTransformer(), LogisticRegression())
    >>> names = photos.target_names[photos.target]
    >>> classifier = classifier.fit(photos.images, names)
    >>> result = occlusion_map(classifier, photos.images[-1], patch=0.5)
    >>> result.importances.shape == result.photograph.shape[:2]
    True
    """
    check_is_fitted(estimator)
    photograph = np.asarray(read_image(check_one_image(image), **find_reading_options(estimator)))
    side = _length("patch", patch, photograph)
    step = max(side // 2, 1) if stride is None else _length("stride", stride, photograph)
    color = _color(fill, photograph)
    batch_size = check_integer("batch_size", batch_size)
    respond = _find_response(estimator, response_method)
    if target is None:
        target = estimator.predict([photograph])[0]
    column = _column_of(estimator, target)
    (score,) = _scores(respond, [photograph], column)

    height, width = photograph.shape[:2]
    tops, lefts = _starts(height, side, step), _starts(width, side, step)
    corners = np.array([(top, left) for top in tops for left in lefts])
    losses = np.empty(len(corners))
    for start in range(0, len(corners), batch_size):
        covered = []
        for top, left in corners[start : start + batch_size]:
            covered.append(photograph.copy())
            covered[-1][top : top + side, left : left + side] = color
        losses[start : start + len(covered)] = score - _scores(respond, covered, column)

    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (top, left), loss in zip(corners, losses):
        square = np.s_[top : top + side, left : left + side]
        total[square] += loss
        count[square] += 1
    return Bunch(
        importances=total / np.maximum(count, 1),  # 0 where the stride leaves gaps
        photograph=photograph,
        target=target,
        score=float(score),
        corners=corners,
        losses=losses,
        patch=side,
    )


def _length(name: str, value, photograph: np.ndarray) -> int:
    """Convert a length, in pixels or as a share of the shorter side, to pixels."""
    shorter = min(photograph.shape[:2])
    if is_integer(value) and 1 <= value <= shorter:
        return int(value)
    if isinstance(value, float) and 0 < value <= 1:
        return max(round(value * shorter), 1)
    raise ValueError(
        f"{name}={value!r}: it must be a share of the image's shorter side, over 0 and up to 1.0, "
        f"or an integer of pixels from 1 to {shorter}."
    )


def _color(fill, photograph: np.ndarray) -> np.ndarray:
    if isinstance(fill, str) and fill == "mean":
        return photograph.mean(axis=(0, 1)).round().astype(np.uint8)
    try:
        color = np.asarray(fill, dtype=float)
    except (TypeError, ValueError):
        color = np.empty(0)
    if color.shape != (3,) or not ((color >= 0) & (color <= 255)).all():
        raise ValueError(f"fill={fill!r}: it must be 'mean' or three values from 0 to 255.")
    return color.round().astype(np.uint8)


def _find_response(estimator, method: str):
    check_option("response_method", method, ("auto", *_RESPONSES))
    for name in _RESPONSES if method == "auto" else (method,):
        if hasattr(estimator, name):
            return getattr(estimator, name)
    raise ValueError(
        f"estimator has no {' or '.join(_RESPONSES)}: {type(estimator).__name__} gives classes no "
        "score that they could lose."
        if method == "auto"
        else f"response_method={method!r}: {type(estimator).__name__} has no such method."
    )


def _column_of(estimator, target) -> int:
    classes = np.asarray(estimator.classes_)
    (columns,) = np.nonzero(classes == target)
    if len(columns) != 1:
        raise ValueError(f"target={target!r}: it must be one of the classes {classes.tolist()}.")
    return int(columns[0])


def _scores(respond, images, column: int) -> np.ndarray:
    """Compute the scores of one class. A decision function of two classes has one column."""
    scores = np.asarray(respond(images))
    if scores.ndim == 1:
        return scores if column == 1 else -scores
    return scores[:, column]


def _starts(length: int, side: int, step: int) -> list[int]:
    """List the starts of the squares along a side; the last square ends with it."""
    starts = list(range(0, length - side + 1, step))
    if starts[-1] != length - side:
        starts.append(length - side)
    return starts


class OcclusionDisplay:
    """Occlusion map of a class, drawn over the photograph.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    result : Bunch
        Result of :func:`occlusion_map`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that the last :meth:`plot` drew on.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> from sklearn_decaf.inspection import OcclusionDisplay
    >>> photos = load_sample_photos(subset="train")
    >>> classifier = make_pipeline(DeCAFTransformer(), LogisticRegression())
    >>> names = photos.target_names[photos.target]
    >>> classifier = classifier.fit(photos.images, names)
    >>> display = OcclusionDisplay.from_estimator(classifier, photos.images[0], patch=0.5)
    >>> print(display.result.target)
    astronaut
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, result: Bunch) -> None:
        self.result = result

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        image: ImageLike,
        *,
        target: object = None,
        patch: float = 0.25,
        stride: float | None = None,
        fill: Literal["mean"] | ArrayLike = "mean",
        response_method: Literal["auto", "predict_proba", "decision_function"] = "auto",
        batch_size: int = 64,
        ax: Axes | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Compute the map and draw it.

        Parameters
        ----------
        estimator : classifier
            A fitted classifier or pipeline that takes a list of images.
        image : image
            One image: a path, encoded bytes, a PIL image or an array.
        target : label, default=None
            Class whose score is measured. None: the class that `estimator` predicts.
        patch : float or int, default=0.25
            Side of the square: a float is a share of the image's shorter side, an int is in
            pixels.
        stride : float or int, default=None
            Distance between places of the square, in the same units. None: half its side.
        fill : "mean" or array-like of 3 values, default="mean"
            Colour of the square: the photograph's mean colour, or RGB values from 0 to 255.
        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            Method that gives the score; "auto" takes the first of these that `estimator` has.
        batch_size : int, default=64
            Number of covered copies held in memory at a time.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : OcclusionDisplay
            The display, which is drawn already.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            For the reasons of :func:`occlusion_map`.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")  # before the long computation
        result = occlusion_map(
            estimator,
            image,
            target=target,
            patch=patch,
            stride=stride,
            fill=fill,
            response_method=response_method,
            batch_size=batch_size,
        )
        return cls(result).plot(ax=ax, **plot_parameters)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str | Colormap = "RdBu_r",
        alpha: float = 0.6,
        colorbar: bool = True,
    ) -> Self:
        """Draw the photograph in grey, and the map over it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        cmap : str or Colormap, default="RdBu_r"
            Colours from a negative loss of score, where covering helps the class, to a positive
            one, where it hurts. A loss of 0 has the middle colour.
        alpha : float, default=0.6
            Opacity of the map.
        colorbar : bool, default=True
            Draw a colour bar.

        Returns
        -------
        self : OcclusionDisplay
            The display, with `ax_` and `figure_`.
        """
        from PIL import Image

        ax = get_axes(self, ax, figsize=(6, 4.5))
        ax.imshow(Image.fromarray(self.result.photograph).convert("L"), cmap="gray")
        limit = np.abs(self.result.importances).max() or 1.0
        shown = ax.imshow(self.result.importances, cmap=cmap, alpha=alpha, vmin=-limit, vmax=limit)
        if colorbar:
            self.figure_.colorbar(shown, ax=ax, label="loss of score", shrink=0.8)
        ax.set_axis_off()
        ax.set_title(f"{self.result.target}: score {self.result.score:.2f}")
        return self
