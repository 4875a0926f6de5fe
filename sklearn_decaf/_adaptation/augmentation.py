"""Feature augmentation (Daume III 2007): a shared copy of the features, and one for each domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .base import AdaptationEstimator
from .domains import check_sample_domain, fit_domains, known_domains, ordered_domains, require_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike, SparseMatrix


def domain_name(label: int) -> str:
    """Name of a domain in feature names, such as source1 or target2."""
    return f"source{label}" if label >= 0 else f"target{-label}"


def augmented_kernel(
    kernel: ArrayLike, sample_domain: ArrayLike, sample_domain_other: ArrayLike | None = None
) -> np.ndarray:
    """Compute the kernel of augmented features from the kernel of the plain features.

    :class:`FeatureAugmentation` gives rows of one domain two copies in common and rows of two
    domains one, so the kernel doubles within a domain. This function gives kernel methods the same
    augmentation without the wider features.

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

    Raises
    ------
    ValueError
        If the domain labels are not integers, or not one per row and column.

    See Also
    --------
    FeatureAugmentation : The same for methods without a kernel.

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
    """Copy the features: one copy for all domains, and one for each domain.

    A row x becomes (x, 0, ..., x, ..., 0): first the shared copy, then a copy for each domain,
    which is zero except for the domain of the row [1]_. A linear classifier on these features
    learns weights that all domains share, and corrections of them for each domain.

    `transform` takes rows for target rows unless it gets `sample_domain`. With source rows,
    ``fit(X, sample_domain=d).transform(X)`` therefore differs from
    ``fit_transform(X, sample_domain=d)``. Pass `sample_domain` to `transform` too, or call
    `fit_transform`, as a pipeline does.

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
    The output is (n_domains + 1) times as wide as the input, so dense features take as many times
    the memory. Sparse input gives sparse output with twice the values.

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
        """Find the domains.

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
            If there are no source rows or no target rows.
        """
        self._fit(X, y, sample_domain)
        return self

    def _fit(self, X, y, sample_domain):
        X = self._check_rows(X, reset=True)
        domains = fit_domains(sample_domain, y, X.shape[0])
        require_rows(domains >= 0, "source", domains, type(self).__name__)
        require_rows(domains < 0, "target", domains, type(self).__name__)
        self.domains_ = ordered_domains(domains)
        return X, domains

    def fit_transform(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> np.ndarray | SparseMatrix:
        """Fit, and copy the features of the training rows for their own domains.

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
        """Copy the features of rows.

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
        X = self._check_rows(X, reset=False)
        domains = known_domains(sample_domain, X.shape[0], self.domains_, type(self).__name__)
        return self._augment(X, domains)

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
        """Get the names of the output columns: shared_x0, ..., source1_x0, ..., target2_x0.

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
