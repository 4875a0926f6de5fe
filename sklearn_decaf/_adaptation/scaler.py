"""Standardisation of each domain by its own mean and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import check_is_fitted

from .base import AdaptationEstimator
from .domains import fit_domains, known_domains, ordered_domains, require_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike, SparseMatrix


class DomainScaler(OneToOneFeatureMixin, TransformerMixin, AdaptationEstimator):
    """Standardise the features of each domain by its own mean and standard deviation.

    It is the simplest adaptation, and usual before :class:`GeodesicFlowKernel`: afterwards every
    feature has mean 0 and variance 1 in each domain. Unlabelled target rows count too.

    `transform` takes rows for target rows unless it gets `sample_domain`. With source rows,
    ``fit(X, sample_domain=d).transform(X)`` therefore differs from
    ``fit_transform(X, sample_domain=d)``. Pass `sample_domain` to `transform` too, or call
    `fit_transform`, as a pipeline does.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether to subtract the means. False for sparse input, which would become dense.

    with_std : bool, default=True
        Whether to divide by the standard deviations, with n in their denominator and not n - 1.
        Features that are constant in a domain keep their scale there.

    Attributes
    ----------
    domains_ : ndarray of shape (n_domains,)
        The domain labels: sources 0, 1, 2, ..., then targets -1, -2, ...

    mean_ : ndarray of shape (n_domains, n_features)
        The means in each domain.

    scale_ : ndarray of shape (n_domains, n_features)
        The standard deviations in each domain, 1 for constant features.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, if they are all strings.

    See Also
    --------
    sklearn.preprocessing.StandardScaler : The same for all rows together.

    Examples
    --------
    >>> from sklearn_decaf.adaptation import DomainScaler
    >>> X = [[0.0], [2.0], [100.0], [300.0]]
    >>> scaler = DomainScaler()
    >>> scaler.fit_transform(X, sample_domain=[1, 1, -2, -2]).ravel()
    array([-1.,  1., -1.,  1.])
    >>> scaler.transform([[200.0]]).ravel()  # rows without a domain are target rows
    array([0.])
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__transform = {"sample_domain": True}

    _parameter_constraints: dict = {"with_mean": ["boolean"], "with_std": ["boolean"]}

    def __init__(self, *, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean = with_mean
        self.with_std = with_std

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> Self:
        """Find the means and standard deviations of each domain.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of all domains.

        y : array-like of shape (n_samples,), default=None
            Class labels. Used only if `sample_domain` is None.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: the rows without a
            class label are the target.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If there are no source rows or no target rows, or X is sparse and `with_mean` is True.
        """
        self._fit(X, y, sample_domain)
        return self

    def _fit(self, X, y, sample_domain):
        self._validate_params()
        X = self._check(X, reset=True)
        domains = fit_domains(sample_domain, y, X.shape[0])
        require_rows(domains >= 0, "source", domains, type(self).__name__)
        require_rows(domains < 0, "target", domains, type(self).__name__)
        self.domains_ = ordered_domains(domains)
        self.mean_ = np.empty((len(self.domains_), X.shape[1]))
        self.scale_ = np.empty_like(self.mean_)
        for i, domain in enumerate(self.domains_):
            rows = X[domains == domain]
            if sparse.issparse(X):
                self.mean_[i], variance = mean_variance_axis(rows, axis=0)
            else:
                self.mean_[i] = rows.mean(axis=0, dtype=np.float64)
                variance = np.square(rows - self.mean_[i]).mean(axis=0)
            # what is left of a constant is rounding error
            floor = 10 * np.finfo(X.dtype).eps * len(domains)
            constant = variance <= (floor * self.mean_[i]) ** 2
            self.scale_[i] = np.where(constant, 1.0, np.sqrt(variance))
        return X, domains

    def fit_transform(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> np.ndarray | SparseMatrix:
        """Fit, and standardise the training rows by their own domains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of all domains.

        y : array-like of shape (n_samples,), default=None
            Class labels. Used only if `sample_domain` is None.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: the rows without a
            class label are the target.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features)
            The standardised rows.
        """
        return self._scale(*self._fit(X, y, sample_domain))

    def transform(
        self, X: MatrixLike, sample_domain: ArrayLike | None = None
    ) -> np.ndarray | SparseMatrix:
        """Standardise rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, each of a domain that was there in `fit`. None: all rows are of the
            target domain, of which there must be one only.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features)
            The standardised rows.

        Raises
        ------
        ValueError
            If a domain was not there in `fit`, or the target domain is ambiguous.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        domains = known_domains(sample_domain, X.shape[0], self.domains_, type(self).__name__)
        return self._scale(X, domains)

    def _check(self, X, reset):
        X = self._check_rows(X, reset=reset)
        if sparse.issparse(X) and self.with_mean:
            raise ValueError(
                "taking the mean out of sparse rows would make them dense: pass with_mean=False "
                "to DomainScaler, or X.toarray()."
            )
        return X

    def _scale(self, X, domains):
        order = {label: i for i, label in enumerate(self.domains_)}
        which = np.array([order[label] for label in domains], dtype=int)
        if sparse.issparse(X):
            X = X.copy()
            if self.with_std:
                row_of_value = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
                X.data /= self.scale_[which[row_of_value], X.indices]
            return X
        out = X.astype(X.dtype, copy=True)
        for i in range(len(self.domains_)):
            rows = which == i
            if self.with_mean:
                out[rows] -= self.mean_[i].astype(X.dtype)
            if self.with_std:
                out[rows] /= self.scale_[i].astype(X.dtype)
        return out

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.with_mean
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
