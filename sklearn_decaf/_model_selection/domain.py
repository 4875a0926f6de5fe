"""Splitters of source and target rows: random splits, and published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from .._adaptation.domains import fit_domains, is_unlabelled, require_rows
from .._utils.labels import plain_labels
from .._utils.validation import check_integer
from .draws import class_labels, draw

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import FilePath, RandomState


class _DomainSplitter(BaseCrossValidator):
    """A splitter whose `split` takes domain labels."""

    __metadata_request__split = {"sample_domain": True}

    def _domains(self, X, y, groups, sample_domain):
        if sample_domain is not None and groups is not None:
            raise ValueError("pass the domain labels as sample_domain or as groups, not as both.")
        given = groups if sample_domain is None else sample_domain
        return fit_domains(given, y, _num_samples(X))

    def get_n_splits(
        self,
        X: object = None,
        y: object = None,
        groups: object = None,
        sample_domain: object = None,
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups, sample_domain : object
            Ignored; there by convention.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        return check_integer("n_splits", self.n_splits)


class DomainShuffleSplit(_DomainSplitter):
    """Train on some source and a few target rows per class; test on the other target rows.

    This is the protocol of Saenko et al. [1]_, which the DeCAF paper follows. Unlabelled target
    rows (-1) are in every training set, for methods that can use them, and in no test set.

    Parameters
    ----------
    n_source_per_class : int, dict or None, default=20
        Number of labelled source rows to draw from each class of each source domain. A dict maps
        domain labels to numbers. None takes all source rows. The usual numbers for Office-31 are
        20 if the source is amazon and 8 if it is dslr or webcam.

    n_target_per_class : int, default=3
        Number of labelled target rows to draw from each class of each target domain.

    n_splits : int, default=20
        Number of random splits.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same splits at every call.

    See Also
    --------
    PredefinedDomainSplit : Splits that were published.
    PerClassShuffleSplit : Splits of one domain.

    References
    ----------
    .. [1] K. Saenko, B. Kulis, M. Fritz and T. Darrell. Adapting Visual Category Models to New
       Domains. ECCV 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.model_selection import DomainShuffleSplit
    >>> sample_domain = np.repeat([1, -2], 10)
    >>> y = np.tile(["cat", "dog"], 10)
    >>> splitter = DomainShuffleSplit(4, 1, n_splits=1, random_state=0)
    >>> for train, test in splitter.split(y, y, sample_domain=sample_domain):
    ...     print((sample_domain[train] > 0).sum(), (sample_domain[train] < 0).sum(), len(test))
    8 2 8
    """

    def __init__(
        self,
        n_source_per_class: int | Mapping[int, int] | None = 20,
        n_target_per_class: int = 3,
        n_splits: int = 20,
        *,
        random_state: RandomState = None,
    ) -> None:
        self.n_source_per_class = n_source_per_class
        self.n_target_per_class = n_target_per_class
        self.n_splits = n_splits
        self.random_state = random_state

    def split(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the splits.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows; only their number counts.

        y : array-like of shape (n_samples,)
            Class labels; -1, None, NaN and NA are no label.

        groups : array-like of shape (n_samples,), default=None
            The domain labels, where a caller can pass them by this name only.

        sample_domain : array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows.

        Yields
        ------
        train : ndarray
            Indices of the training rows.

        test : ndarray
            Indices of the test rows, all labelled and of the target.

        Raises
        ------
        ValueError
            If the domain labels are missing, a domain has no labelled row, a class has fewer rows
            than are to be drawn, or no target row is left to test on.
        """
        labels = class_labels(y, self)
        domains = self._domains(X, labels, groups, sample_domain)
        labelled = ~is_unlabelled(labels)
        source, target = domains >= 0, domains < 0
        require_rows(source & labelled, "labelled source", domains, type(self).__name__)
        require_rows(target & labelled, "labelled target", domains, type(self).__name__)
        n_target = check_integer("n_target_per_class", self.n_target_per_class)
        always = np.flatnonzero(target & ~labelled)
        rng = check_random_state(self.random_state)
        for _ in range(self.get_n_splits()):
            train, test = [always], []
            for domain in np.unique(domains):
                rows = np.flatnonzero((domains == domain) & labelled)
                if not len(rows):
                    continue
                of_rows = plain_labels(labels[rows])
                if domain < 0:
                    chosen, rest = draw(rng, rows, of_rows, n_target, f"target (domain {domain})")
                    test += rest
                elif self.n_source_per_class is None:
                    chosen = [rows]
                else:
                    count = self._source_count(domain)
                    chosen, _ = draw(rng, rows, of_rows, count, f"source (domain {domain})")
                train += chosen
            test = np.concatenate(test)
            if not len(test):
                raise ValueError(
                    f"n_target_per_class={n_target} takes every labelled target row for training; "
                    "none is left to test on."
                )
            yield rng.permutation(np.concatenate(train)), rng.permutation(test)

    def _source_count(self, domain):
        count = self.n_source_per_class
        if isinstance(count, Mapping):
            if domain not in count:
                raise ValueError(
                    f"n_source_per_class has no entry for the source domain {domain}; "
                    f"it has {list(count)}."
                )
            count = count[domain]
        return check_integer("n_source_per_class", count)


class PredefinedDomainSplit(_DomainSplitter):
    """Published splits, in which the rows of each domain are counted from its own first row.

    Parameters
    ----------
    source_train, target_train : sequence of array-like of int
        Training rows of every split, as positions among the rows of the source domain and among
        those of the target domain.

    target_test : sequence of array-like of int, default=None
        Test rows of every split, as positions among the rows of the target domain. None takes the
        target rows that are not trained on.

    source, target : int, default=None
        The labels of the two domains. None: the only source (target) domain in `sample_domain`.

    index_base : {0, 1}, default=0
        Number of the first row; 1 for files written by Matlab.

    See Also
    --------
    DomainShuffleSplit : Random splits of the same kind.

    Examples
    --------
    >>> from sklearn_decaf.model_selection import PredefinedDomainSplit
    >>> sample_domain = [-2, -2, -2, 1, 1]
    >>> splitter = PredefinedDomainSplit([[2]], [[3]], index_base=1)
    >>> for train, test in splitter.split(sample_domain, sample_domain=sample_domain):
    ...     print(train, test)
    [4 2] [0 1]
    """

    def __init__(
        self,
        source_train: Sequence[ArrayLike],
        target_train: Sequence[ArrayLike],
        target_test: Sequence[ArrayLike] | None = None,
        *,
        source: int | None = None,
        target: int | None = None,
        index_base: Literal[0, 1] = 0,
    ) -> None:
        self.source_train = source_train
        self.target_train = target_train
        self.target_test = target_test
        self.source = source
        self.target = target
        self.index_base = index_base

    @classmethod
    def from_mat(
        cls, filename: FilePath, *, source: int | None = None, target: int | None = None
    ) -> Self:
        """Read splits in the format of the authors of max-margin domain transforms.

        Parameters
        ----------
        filename : str or path-like
            A Matlab file with the structures ``train.source``, ``train.target`` and
            ``test.target``, such as SameCategory_amazon-webcam_20RandomTrials_10Categories.mat.

        source, target : int, default=None
            The labels of the two domains.

        Returns
        -------
        splitter : PredefinedDomainSplit
            The splits of the file.

        Raises
        ------
        ValueError
            If the file does not have these structures.
        """
        from scipy.io import loadmat

        content = loadmat(filename)
        try:
            train, test = (content[name][0, 0] for name in ("train", "test"))
            columns = [
                [np.ravel(rows).astype(np.int64) for rows in column.ravel()]
                for column in (train["source"], train["target"], test["target"])
            ]
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"{filename} holds no splits: train.source, train.target and test.target are "
                f"expected ({error})."
            ) from error
        return cls(*columns, source=source, target=target, index_base=1)

    @property
    def n_splits(self) -> int:
        """Number of splits."""
        return len(self.source_train)

    def split(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the splits.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows; only their number counts.

        y : array-like of shape (n_samples,), default=None
            Class labels; not needed.

        groups : array-like of shape (n_samples,), default=None
            The domain labels, where a caller can pass them by this name only.

        sample_domain : array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows.

        Yields
        ------
        train : ndarray
            Indices of the training rows, source rows first.

        test : ndarray
            Indices of the test rows.

        Raises
        ------
        ValueError
            If a position is not among the rows of its domain, a row is both trained and tested
            on, the numbers of splits differ, or a domain is not there or has to be named.
        """
        if self.index_base not in (0, 1):
            raise ValueError(f"index_base={self.index_base!r}: it must be 0 or 1.")
        domains = self._domains(X, y, groups, sample_domain)
        source_rows = self._rows_of(domains, self.source, domains >= 0, "source")
        target_rows = self._rows_of(domains, self.target, domains < 0, "target")
        tests = [None] * self.n_splits if self.target_test is None else self.target_test
        if not self.n_splits == len(self.target_train) == len(tests):
            raise ValueError(
                "source_train, target_train and target_test must have one entry per split; got "
                f"{self.n_splits}, {len(self.target_train)} and {len(tests)}."
            )
        for i in range(self.n_splits):
            source = self._positions(self.source_train[i], source_rows, f"source_train[{i}]")
            target = self._positions(self.target_train[i], target_rows, f"target_train[{i}]")
            if tests[i] is None:
                test = np.setdiff1d(target_rows, target)
            else:
                test = self._positions(tests[i], target_rows, f"target_test[{i}]")
                if np.intersect1d(target, test).size:
                    raise ValueError(f"split {i} tests on target rows that it trains on.")
            yield np.concatenate([source, target]), test

    def _rows_of(self, domains, label, of_side, side):
        found = np.unique(domains[of_side])
        if label is None:
            if len(found) != 1:
                raise ValueError(
                    f"sample_domain has the {side} domains {found.tolist()}: pass {side}= to say "
                    "which one the splits are for."
                )
            label = found[0]
        elif label not in found:
            raise ValueError(
                f"sample_domain has no {side} domain {label}; it has {found.tolist()}."
            )
        return np.flatnonzero(domains == label)

    def _positions(self, positions, rows, name):
        positions = np.asarray(positions, dtype=np.int64).ravel() - self.index_base
        outside = positions[(positions < 0) | (positions >= len(rows))]
        if outside.size:
            raise ValueError(
                f"{name} holds row {outside[0] + self.index_base}, but the domain has the rows "
                f"{self.index_base} to {len(rows) - 1 + self.index_base}."
            )
        return rows[positions]
