"""Geodesic flow kernel: the estimator, and the kernel as a function."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import linalg
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from .._utils.labels import shown
from .base import AdaptationEstimator
from .domains import check_labels, fit_domains, predict_domains, require_rows
from .geodesic_flow import flow_components
from .subspaces import pca_basis, pls_basis, subspace_disagreement

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike


def geodesic_flow_kernel(
    X: MatrixLike, Y: MatrixLike | None = None, *, source_basis: ArrayLike, target_basis: ArrayLike
) -> np.ndarray:
    """Compute the geodesic flow kernel of rows for two given subspaces.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.

    Y : {array-like, sparse matrix} of shape (n_other, n_features), default=None
        Other rows. None: those of X.

    source_basis, target_basis : array-like of shape (n_features, n_components)
        Bases of the two subspaces, one direction per column. They need not be orthonormal.

    Returns
    -------
    kernel : ndarray of shape (n_samples, n_other)
        The kernel values.

    Raises
    ------
    ValueError
        If the bases differ in shape, have more directions than features or dependent columns, or
        have another number of features than the rows.

    See Also
    --------
    GeodesicFlowKernel : Finds the subspaces from source and target rows.

    References
    ----------
    .. [1] B. Gong, Y. Shi, F. Sha and K. Grauman. Geodesic Flow Kernel for Unsupervised Domain
       Adaptation. CVPR 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.adaptation import geodesic_flow_kernel
    >>> same = np.eye(4)[:, :1]
    >>> geodesic_flow_kernel(np.eye(4)[:2], source_basis=same, target_basis=same)
    array([[1., 0.],
           [0., 0.]])
    """
    bases = []
    for name, basis in (("source_basis", source_basis), ("target_basis", target_basis)):
        basis = check_array(basis, dtype=np.float64, input_name=name)
        if basis.shape[1] > basis.shape[0]:
            raise ValueError(
                f"{name} must have one direction per column, shape (n_features, n_components); "
                f"got shape {basis.shape}. Transpose it."
            )
        orthonormal, triangle = linalg.qr(basis, mode="economic")
        if np.abs(np.diag(triangle)).min() <= 1e-12 * np.abs(triangle).max():
            raise ValueError(f"the columns of {name} are linearly dependent.")
        bases.append(orthonormal)
    if bases[0].shape != bases[1].shape:
        raise ValueError(
            "source_basis and target_basis must have the same shape; "
            f"got {bases[0].shape} and {bases[1].shape}."
        )
    components, _ = flow_components(*bases)
    flow = []
    for name, rows in (("X", X), ("Y", X if Y is None else Y)):
        rows = check_array(rows, accept_sparse="csr", input_name=name)
        if rows.shape[1] != components.shape[1]:
            raise ValueError(
                f"{name} has {rows.shape[1]} features, the subspaces {components.shape[1]}."
            )
        flow.append(safe_sparse_dot(rows, components.T, dense_output=True))
    return flow[0] @ flow[1].T


class GeodesicFlowKernel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AdaptationEstimator):
    """Geodesic flow kernel: features that change little between source and target domain.

    Source rows span one subspace and target rows another. The kernel ``x' G z`` [1]_ compares rows
    in all subspaces on the geodesic between the two. `transform` returns coordinates
    ``G^(1/2) x``, whose inner products are the kernel; `kernel` returns the kernel itself, for
    ``SVC(kernel=flow.kernel)``.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Dimension of the subspaces, at most half the number of features. "auto" takes the smallest
        dimension at which :func:`subspace_disagreement` reaches 1, within `disagreement_tol`, or
        else the largest one.

    source_basis : {"pca", "pls"}, default="pca"
        Method for the source subspace: principal components, or partial least squares towards the
        class labels of the source, which [1]_ found better. The target subspace always consists of
        principal components.

    max_components : int, default=100
        The largest dimension that ``n_components="auto"`` may choose.

    disagreement_tol : float, default=0.01
        A disagreement of at least 1 - `disagreement_tol` counts as 1.

    Attributes
    ----------
    components_ : ndarray of shape (2 * n_components_, n_features)
        The linear map of `transform`. ``components_.T @ components_`` is the matrix G of the
        kernel.

    n_components_ : int
        Dimension of the subspaces.

    principal_angles_ : ndarray of shape (n_components_,)
        Angles between the subspaces in radians, increasing.

    source_basis_, target_basis_ : ndarray of shape (n_features, n_components_)
        Orthonormal bases of the subspaces.

    disagreement_ : ndarray
        Subspace disagreement at dimensions 1, 2, ..., up to the chosen one or `max_components`.
        Only with ``n_components="auto"``.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, if they are all strings.

    See Also
    --------
    geodesic_flow_kernel : The kernel for given subspaces.
    DomainScaler : Standardise each domain by itself, as is usual before this.

    Notes
    -----
    Standardise the features of each domain first, as :class:`DomainScaler` does. Rows are centred
    to find the subspaces; `transform` does not centre them. All source domains together span one
    subspace, and so do all target domains. Labelled and unlabelled target rows count alike.

    The time of `fit` grows with n_samples * n_features * min(n_samples, n_features). A matrix of
    n_features x n_features is made only if there are more rows than features, and never by
    `transform`.

    References
    ----------
    .. [1] B. Gong, Y. Shi, F. Sha and K. Grauman. Geodesic Flow Kernel for Unsupervised Domain
       Adaptation. CVPR 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import SVC
    >>> from sklearn_decaf.adaptation import GeodesicFlowKernel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 10))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> sample_domain = np.repeat([1, -2], 30)  # >= 0: source, < 0: target
    >>> X[30:] @= np.linalg.qr(rng.normal(size=(10, 10)))[0]  # another point of view
    >>> flow = GeodesicFlowKernel(n_components=3).fit(X, y, sample_domain=sample_domain)
    >>> flow.transform(X).shape
    (60, 6)
    >>> np.allclose(flow.transform(X) @ flow.transform(X).T, flow.kernel(X))
    True
    >>> SVC(kernel=flow.kernel).fit(X[:30], y[:30]).predict(X[30:]).shape
    (30,)
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__transform = {"sample_domain": True}

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "source_basis": [StrOptions({"pca", "pls"})],
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "disagreement_tol": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        source_basis: Literal["pca", "pls"] = "pca",
        max_components: int = 100,
        disagreement_tol: float = 0.01,
    ) -> None:
        self.n_components = n_components
        self.source_basis = source_basis
        self.max_components = max_components
        self.disagreement_tol = disagreement_tol

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> Self:
        """Find the two subspaces and the kernel between them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of all domains.

        y : array-like of shape (n_samples,), default=None
            Class labels; -1, None, NaN and NA are no label. Needed for ``source_basis="pls"``, and
            to tell the domains apart if `sample_domain` is None.

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
            If a domain has no rows, or `n_components` is more than half the features or more
            than the directions in which the rows of a domain vary.
        """
        self._validate_params()
        X = self._check_rows(X, reset=True)
        domains = fit_domains(sample_domain, y, X.shape[0])
        source, target = domains >= 0, domains < 0
        require_rows(source, "source", domains, type(self).__name__)
        require_rows(target, "target", domains, type(self).__name__)
        labels = None
        if self.source_basis == "pls":
            labels, labelled = check_labels(y, X.shape[0], self)
            source &= labelled
            require_rows(source, "labelled source", domains, type(self).__name__)
            labels = labels[source]
            if len(np.unique(labels)) < 2:
                raise ValueError(
                    "source_basis='pls' needs source rows of two classes or more; all labelled "
                    f"source rows are of class {shown(labels[0])}. Use source_basis='pca'."
                )
        wanted = self._wanted_components(X)
        bases = [self._source_basis(X[source], labels, wanted), pca_basis(X[target], wanted)]
        for side, basis, rows in zip(("source", "target"), bases, (source, target)):
            self._check_rank(side, basis.shape[1], int(rows.sum()))
        chosen = wanted
        if self.n_components == "auto":
            chosen = self._agreed_dimension(X, bases)
        self.source_basis_, self.target_basis_ = (basis[:, :chosen] for basis in bases)
        components, self.principal_angles_ = flow_components(*(b[:, :chosen] for b in bases))
        self.components_ = components.astype(X.dtype, copy=False)
        self.n_components_ = chosen
        return self

    def _wanted_components(self, X):
        """Number of directions of each domain to compute."""
        half = X.shape[1] // 2
        if half < 1:
            raise ValueError(
                "GeodesicFlowKernel needs 2 features or more; got X with 1 feature(s)."
            )
        if self.n_components == "auto":
            return min(half, self.max_components)
        if self.n_components > half:
            raise ValueError(
                f"n_components={self.n_components} is more than half the {X.shape[1]} features: "
                "beyond that the two subspaces must share directions. "
                f"Use n_components <= {half}, or 'auto'."
            )
        return self.n_components

    def _source_basis(self, X, labels, wanted):
        return pca_basis(X, wanted) if labels is None else pls_basis(X, labels, wanted)

    def _check_rank(self, side, rank, n_rows):
        needed = 1 if self.n_components == "auto" else self.n_components
        if rank >= needed:
            return
        if rank == 0:
            raise ValueError(
                f"the {n_rows} {side} rows do not vary: all features are constant in the {side} "
                f"domain ({n_rows} sample{'s' if n_rows > 1 else ''}), so they span no subspace. "
                f"Give more {side} rows."
            )
        raise ValueError(
            f"n_components={self.n_components} is too large: the {n_rows} {side} rows vary in "
            f"{rank} directions only (constant features and repeated rows add none). Use "
            f"n_components <= {rank}, or give more {side} rows."
        )

    def _agreed_dimension(self, X, bases):
        """Find the smallest dimension with full disagreement, else return the largest."""
        widest = min(basis.shape[1] for basis in bases)
        both = pca_basis(X, widest)
        curve = subspace_disagreement(*bases, both)
        full = np.flatnonzero(curve >= 1 - self.disagreement_tol)
        chosen = int(full[0]) + 1 if full.size else len(curve)
        self.disagreement_ = curve
        return chosen

    def fit_transform(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Fit, and map the training rows; the same as ``fit(...).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of all domains.

        y : array-like of shape (n_samples,), default=None
            Class labels; see `fit`.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels; see `fit`.

        Returns
        -------
        X_new : ndarray of shape (n_samples, 2 * n_components_)
            The coordinates.
        """
        return self.fit(X, y, sample_domain=sample_domain).transform(X)

    def transform(self, X: MatrixLike, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Map rows to coordinates whose inner products are the kernel.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used: the map is the same for all domains.

        Returns
        -------
        X_new : ndarray of shape (n_samples, 2 * n_components_)
            The coordinates.
        """
        coordinates = self._map(X)
        predict_domains(sample_domain, len(coordinates))
        return coordinates

    def _map(self, X) -> np.ndarray:
        """The same, never in a frame."""
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)
        return safe_sparse_dot(X, self.components_.T, dense_output=True)

    def kernel(self, X: MatrixLike, Y: MatrixLike | None = None) -> np.ndarray:
        """Compute kernel values, for example for ``SVC(kernel=flow.kernel)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Y : {array-like, sparse matrix} of shape (n_other, n_features), default=None
            Other rows. None: those of X.

        Returns
        -------
        kernel : ndarray of shape (n_samples, n_other)
            The kernel values.
        """
        flow = self._map(X)
        return flow @ (flow if Y is None else self._map(Y)).T

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = self.source_basis == "pls"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
