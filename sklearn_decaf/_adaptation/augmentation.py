"""Feature augmentation (Daume III 2007): a shared copy of the features and one per domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .base import AdaptationEstimator
from .domains import check_sample_domain, fit_domains, known_domains, ordered_domains, require_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike, SparseMatrix


def domain_name(label: int) -> str:
    """The name of a domain in feature names: source1, target2."""
    return f"source{label}" if label >= 0 else f"target{-label}"


def augmented_kernel(
    kernel: ArrayLike, sample_domain: ArrayLike, sample_domain_other: ArrayLike | None = None
) -> np.ndarray:
    """The kernel of augmented features, from the kernel of the plain ones.

    Rows of one domain share two copies of their features, rows of two domains share one, so the
    kernel is doubled within a domain. That gives every kernel method the augmentation of
    :class:`FeatureAugmentation` without longer features.

    Parameters
    ----------
    kernel : array-like of shape (n_samples, n_other)
        Kernel values of the plain features.

    sample_domain : int or array-like of shape (n_samples,)
        Domain labels of the rows.

    sample_domain_other : int or array-like of shape (n_other,), default=None
        Domain labels of the columns. None: those of the rows.

    Returns
    -------
    augmented : ndarray of shape (n_samples, n_other)
        The kernel of the augmented features.

    References
    ----------
    .. [1] H. Daume III. Frustratingly Easy Domain Adaptation. ACL 2007, section 3.2.

    Examples
    --------
    >>> from sklearn_decaf.adaptation import augmented_kernel
    >>> augmented_kernel([[1.0, 0.5], [0.5, 1.0]], [1, -2])
    array([[2. , 0.5],
           [0.5, 2. ]])
    """
    kernel = check_array(kernel, dtype=[np.float64, np.float32], input_name="kernel")
    rows = check_sample_domain(sample_domain, kernel.shape[0])
    columns = (
        rows
        if sample_domain_other is None and kernel.shape[0] == kernel.shape[1]
        else check_sample_domain(sample_domain_other, kernel.shape[1])
    )
    return kernel * (1 + (rows[:, None] == columns[None, :])).astype(kernel.dtype)


class FeatureAugmentation(TransformerMixin, AdaptationEstimator):
    """Give every domain a copy of the features of its own, beside a shared one.

    A row x of domain k becomes (x, 0, ..., x, ..., 0): the shared copy, then one copy per domain
    that is zero but for the domain of the row [1]_. A linear classifier on these features learns
    weights that all domains share and weights of each domain alone.

    `transform` without `sample_domain` takes all rows as target rows. So
    ``fit(X, sample_domain=d).transform(X)`` is not ``fit_transform(X, sample_domain=d)`` if there
    are source rows: pass `sample_domain` to `transform` as well, or use `fit_transform`, as a
    pipeline does.

    Attributes
    ----------
    domains_ : ndarray of shape (n_domains,)
        The domain labels in the order of their copies: sources 0, 1, 2, ..., then targets
        -1, -2, ...

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, if they are all strings.

    See Also
    --------
    augmented_kernel : The same for kernel methods.
    DomainSubsetClassifier : Train on both domains with the plain features.

    Notes
    -----
    The output is (n_domains + 1) times as wide, and stays sparse if the input is.

    References
    ----------
    .. [1] H. Daume III. Frustratingly Easy Domain Adaptation. ACL 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.adaptation import FeatureAugmentation
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> augmentation = FeatureAugmentation()
    >>> augmentation.fit_transform(X, sample_domain=[1, -2])
    array([[1., 2., 1., 2., 0., 0.],
           [3., 4., 0., 0., 3., 4.]])
    >>> augmentation.transform([[5.0, 6.0]])  # rows without a domain are target rows
    array([[5., 6., 0., 0., 5., 6.]])
    >>> augmentation.get_feature_names_out()
    array(['shared_x0', 'shared_x1', 'source1_x0', 'source1_x1', 'target2_x0',
           'target2_x1'], dtype=object)
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__transform = {"sample_domain": True}

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> Self:
        """Learn which domains there are.

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
        """
        self._fit(X, y, sample_domain)
        return self

    def _fit(self, X, y, sample_domain):
        X = self._check(X, reset=True)
        domains = fit_domains(sample_domain, y, X.shape[0])
        require_rows(domains >= 0, "source", domains, type(self).__name__)
        require_rows(domains < 0, "target", domains, type(self).__name__)
        self.domains_ = ordered_domains(domains)
        return X, domains

    def fit_transform(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> np.ndarray | SparseMatrix:
        """Fit, and augment the training rows by their own domains.

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
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features * (n_domains + 1))
            The augmented rows.
        """
        return self._augment(*self._fit(X, y, sample_domain))

    def transform(
        self, X: MatrixLike, sample_domain: ArrayLike | None = None
    ) -> np.ndarray | SparseMatrix:
        """Augment rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, each of a domain that was there in `fit`. None: all rows are of the
            target domain, of which there must be one only.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features * (n_domains + 1))
            The augmented rows.

        Raises
        ------
        ValueError
            If a domain was not there in `fit`, or the target domain is ambiguous.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        domains = known_domains(sample_domain, X.shape[0], self.domains_, type(self).__name__)
        return self._augment(X, domains)

    def _check(self, X, reset):
        return validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset
        )

    def _augment(self, X, domains):
        if sparse.issparse(X):
            copies = [
                sparse.diags((domains == d).astype(X.dtype), format="csr") @ X
                for d in self.domains_
            ]
            augmented = sparse.hstack([X, *copies], format="csr")
            augmented.eliminate_zeros()
            return augmented
        n, d = X.shape
        augmented = np.zeros((n, len(self.domains_) + 1, d), dtype=X.dtype)
        augmented[:, 0] = X
        copy_of = {label: i for i, label in enumerate(self.domains_, start=1)}
        augmented[np.arange(n), [copy_of[label] for label in domains]] = X
        return augmented.reshape(n, -1)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the copies: shared_x0, ..., source1_x0, ..., target2_x0.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input features. None: those seen in `fit`, else x0, x1, ...

        Returns
        -------
        feature_names_out : ndarray of str objects
            One name per output column.
        """
        check_is_fitted(self, "domains_")
        names = _check_feature_names_in(self, input_features)
        copies = ["shared", *map(domain_name, self.domains_)]
        return np.asarray([f"{copy}_{name}" for copy in copies for name in names], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
