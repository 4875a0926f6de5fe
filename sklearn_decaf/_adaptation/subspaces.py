"""Orthonormal bases of the directions in which rows vary."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import linalg, sparse
from sklearn.cross_decomposition import PLSRegression
from sklearn.preprocessing import LabelBinarizer

# Through products of the data with itself a direction's variance is known to about 1e-16 of the
# largest one's; below this share the singular value decomposition takes over.
_SAFE_VARIANCE = 1e-10


def pca_basis(X, max_components: int) -> np.ndarray:
    """Find the leading principal directions of the rows of X, as columns.

    Returns shape (n_features, k) with k = min(max_components, rank of the centred rows). Only
    products with X are formed, on its shorter side, so X may be sparse.
    """
    n, d = X.shape
    mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
    k = min(max_components, n - 1, d)
    if k < 1:
        return np.zeros((d, 0))
    magnitude = n * (mean @ mean)  # rounding errors of equal rows are a share of this
    X = X.astype(np.float64, copy=False)
    if not sparse.issparse(X):
        X, mean = X - mean, np.zeros(d)  # more exact than taking the mean out afterwards
    if n <= d:
        side = _gram(X, mean)  # (n, n)
    else:
        side = X.T @ X  # (d, d)
        side = (side.toarray() if sparse.issparse(side) else side) - n * np.outer(mean, mean)
    variance, vectors = linalg.eigh(side, subset_by_index=[len(side) - k, len(side) - 1])
    variance, vectors = variance[::-1], vectors[:, ::-1]
    if variance[0] <= np.finfo(float).eps * n * magnitude:
        return np.zeros((d, 0))
    if variance[-1] < _SAFE_VARIANCE * variance[0]:
        return _basis_by_svd(X, mean, k)
    if n > d:
        return vectors
    basis = X.T @ vectors - np.outer(mean, vectors.sum(axis=0))
    return linalg.qr(basis / np.sqrt(variance), mode="economic")[0]


def _gram(X, mean):
    """Inner products of the centred rows, (n, n), without centring X."""
    gram = X @ X.T
    gram = gram.toarray() if sparse.issparse(gram) else gram
    along_mean = X @ mean  # (n,)
    return gram - along_mean[:, None] - along_mean[None, :] + mean @ mean


def _basis_by_svd(X, mean, k):
    X = X.toarray() if sparse.issparse(X) else X
    _, scale, directions = linalg.svd(X - mean, full_matrices=False)
    floor = scale[0] * max(X.shape) * np.finfo(float).eps
    return directions[: min(k, int((scale > floor).sum()))].T


def pls_basis(X, y, max_components: int) -> np.ndarray:
    """Find an orthonormal basis of the partial least squares directions of X towards classes y.

    Returns shape (n_features, k), k <= max_components: fewer if the rows have a lower rank.
    """
    X = X.toarray() if sparse.issparse(X) else X
    X = X.astype(np.float64, copy=False)
    k = min(max_components, pca_basis(X, max_components).shape[1])
    if k < 1:
        return np.zeros((X.shape[1], 0))
    indicator = LabelBinarizer().fit_transform(y).astype(np.float64)  # (n, classes)
    with warnings.catch_warnings():
        # the classes may be explained in full before the last direction
        warnings.filterwarnings("ignore", message="y residual is constant")
        warnings.filterwarnings("ignore", message="Maximum number of iterations reached")
        pls = PLSRegression(n_components=k, scale=False).fit(X, indicator)
    weights = pls.x_weights_[:, np.abs(pls.x_weights_).sum(axis=0) > 0]
    return linalg.qr(weights, mode="economic")[0]


def subspace_disagreement(
    source: np.ndarray, target: np.ndarray, both: np.ndarray, max_components: int | None = None
) -> np.ndarray:
    """Measure how far two subspaces are from the subspace of the pooled rows, by dimension.

    The disagreement at dimension d is the mean of sin(alpha) and sin(beta) for the leading d
    columns of each basis. alpha is the largest principal angle between `source` and `both`, beta
    the one between `target` and `both`. At 0 the subspaces are the same; at 1 each has a direction
    at a right angle to the pooled subspace.

    Parameters
    ----------
    source, target, both : ndarray of shape (n_features, n_components)
        Orthonormal bases, leading directions first.

    max_components : int, default=None
        The largest dimension to look at. None: as far as the bases go.

    Returns
    -------
    disagreement : ndarray of shape (max_components,)
        The disagreement at dimensions 1, 2, ..., in [0, 1].

    References
    ----------
    .. [1] B. Gong, Y. Shi, F. Sha and K. Grauman. Geodesic Flow Kernel for Unsupervised Domain
       Adaptation. CVPR 2012, section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.adaptation import subspace_disagreement
    >>> axes = np.eye(4)
    >>> subspace_disagreement(axes[:, [0, 1]], axes[:, [0, 2]], axes[:, [0, 1]])
    array([0. , 0.5])
    """
    widest = min(basis.shape[1] for basis in (source, target, both))
    widest = widest if max_components is None else min(widest, max_components)
    products = [source[:, :widest].T @ both[:, :widest], target[:, :widest].T @ both[:, :widest]]
    disagreement = np.empty(widest)
    for d in range(1, widest + 1):
        cosines = [linalg.svdvals(product[:d, :d])[-1] for product in products]
        disagreement[d - 1] = np.mean([np.sqrt(max(0.0, 1 - c * c)) for c in cosines])
    return disagreement
