"""Splitter with the same number of training rows from every class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from .._utils.labels import is_missing, plain_labels, shown
from .._utils.validation import check_integer
from .draws import class_labels, draw

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._utils.types import RandomState


class PerClassShuffleSplit(BaseCrossValidator):
    """Draw the same number of training rows from every class.

    Parameters
    ----------
    train_per_class : int, default=30
        Number of training rows of each class.

    test_per_class : int, default=None
        Largest number of test rows of each class; a class with fewer rows left gives all of them.
        None takes all rows that are left.

    n_splits : int, default=5
        Number of random splits.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same splits at every call.

    Notes
    -----
    The usual score is the mean of the accuracies of the classes over such splits, scikit-learn's
    scorer "balanced_accuracy". The usual splits of Caltech-101 are ``PerClassShuffleSplit(30)``,
    or ``PerClassShuffleSplit(30, 50)`` where the number of test images is limited; those of
    SUN-397 are ``PerClassShuffleSplit(50, 50)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.model_selection import PerClassShuffleSplit
    >>> y = np.repeat(["cat", "dog"], [3, 5])
    >>> splitter = PerClassShuffleSplit(2, n_splits=1, random_state=0)
    >>> for train, test in splitter.split(y, y):
    ...     print(*sorted(y[train]), "|", *sorted(y[test]))
    cat cat dog dog | cat dog dog dog
    """

    def __init__(
        self,
        train_per_class: int = 30,
        test_per_class: int | None = None,
        *,
        n_splits: int = 5,
        random_state: RandomState = None,
    ) -> None:
        self.train_per_class = train_per_class
        self.test_per_class = test_per_class
        self.n_splits = n_splits
        self.random_state = random_state

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: object = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the splits.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows; only their number counts.

        y : array-like of shape (n_samples,)
            Class labels. Rows without one (None, NaN or NA) are in no split.

        groups : object
            Ignored; there by convention.

        Yields
        ------
        train : ndarray
            Indices of the training rows.

        test : ndarray
            Indices of the test rows.

        Raises
        ------
        ValueError
            If there are no class labels, or a class has too few rows to train and to test on.
        """
        count = check_integer("train_per_class", self.train_per_class)
        most = self.test_per_class
        most = None if most is None else check_integer("test_per_class", most)
        labels = class_labels(y, self)
        if len(labels) != _num_samples(X):
            raise ValueError(
                f"y must have one label per row of X: got {len(labels)} for {_num_samples(X)} rows."
            )
        rng = check_random_state(self.random_state)
        rows = np.flatnonzero(~is_missing(labels))
        if not len(rows):
            raise ValueError("y has no labelled row: every label is missing.")
        of_rows = plain_labels(labels[rows])
        for _ in range(self.get_n_splits()):
            train, rest = draw(rng, rows, of_rows, count, "training")
            for chosen, left in zip(train, rest):
                if not len(left):
                    raise ValueError(
                        f"class {shown(labels[chosen[0]])} has {len(chosen)} rows: with "
                        f"train_per_class={count} none is left to test on."
                    )
            test = np.concatenate([left[:most] for left in rest])
            yield rng.permutation(np.concatenate(train)), rng.permutation(test)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object
            Ignored; there by convention.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        return check_integer("n_splits", self.n_splits)
