"""Many linear classifiers at once under the squared hinge loss, by Newton's method.

Both steps of max-margin domain transforms are of the form

    minimise over V:  1/2 |V|^2 + sum_ij c_ij max(0, 1 - y_ij f_ij)^2,    F = offset + X V' R'

with rows x_i, classes j and a k x r matrix R that mixes the rows of V (the identity for plain
support vector machines). The loss has a piecewise constant second derivative, so Newton's method
stops after a few steps; each is solved by conjugate gradients with products by X alone. Time and
memory are linear in the number of rows and in the number of features.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from sklearn.utils.extmath import safe_sparse_dot


@dataclass(frozen=True, eq=False)
class AffineRows:
    """Rows [scale * x, scale] + left @ right, which are never formed.

    The last feature is the constant that carries the intercept; `left` (n, k) and `right`
    (k, d + 1) are a change of low rank.
    """

    X: object  # (n, d), dense or sparse
    scale: np.ndarray | None = None  # (n,)
    left: np.ndarray | None = None
    right: np.ndarray | None = None

    # Products are made in the precision of X, and everything else in float64: a copy of X would
    # cost more than the products.

    def dot(self, V):
        """Multiply the rows by the columns of V.T: (n, k) from V (k, d + 1)."""
        weights = V[:, :-1].T.astype(self.X.dtype, copy=False)
        out = safe_sparse_dot(self.X, weights, dense_output=True) + V[:, -1]
        if self.scale is not None:
            out *= self.scale[:, None]
        return out if self.left is None else out + self.left @ (self.right @ V.T)

    def tdot(self, G):
        """Sum the rows with the weights in each column of G: (k, d + 1) from G (n, k)."""
        H = G if self.scale is None else G * self.scale[:, None]
        out = np.empty((G.shape[1], self.X.shape[1] + 1))
        sums = safe_sparse_dot(self.X.T, H.astype(self.X.dtype, copy=False), dense_output=True)
        out[:, :-1], out[:, -1] = sums.T, H.sum(axis=0)
        return out if self.left is None else out + (G.T @ self.left) @ self.right

    def tdot_squares(self, G):
        """Sum squared features as `tdot` sums features, without the change of low rank."""
        H = G if self.scale is None else G * self.scale[:, None] ** 2
        out = np.zeros((G.shape[1], self.X.shape[1] + 1))
        for rows in gen_batches(len(H), 512):  # the squares of all rows would be a second X
            X = self.X[rows]
            squares = X.multiply(X) if sparse.issparse(X) else X**2
            out[:, :-1] += safe_sparse_dot(squares.T, H[rows], dense_output=True).T
        out[:, -1] = H.sum(axis=0)
        return out


@dataclass(frozen=True, eq=False)
class StackedRows:
    """Blocks of rows, one under the other."""

    blocks: tuple[AffineRows, ...]

    def dot(self, V):
        return np.concatenate([block.dot(V) for block in self.blocks])

    def tdot(self, G):
        return sum(block.tdot(part) for block, part in self._parts(G))

    def tdot_squares(self, G):
        return sum(block.tdot_squares(part) for block, part in self._parts(G))

    def _parts(self, G):
        ends = np.cumsum([block.X.shape[0] for block in self.blocks])[:-1]
        return zip(self.blocks, np.split(G, ends))


def class_signs(y, classes):
    """Signs +1 where a row is of a class, else -1: (n, n_classes), or (n, 1) for two classes."""
    if len(classes) == 2:
        return np.where(y == classes[1], 1.0, -1.0)[:, None]
    return np.where(y[:, None] == classes, 1.0, -1.0)


def squared_hinge_loss(Y, F, cost):
    """Sum cost * max(0, 1 - Y F)^2, for each column (class)."""
    slack = np.maximum(0.0, 1.0 - Y * F)
    return np.einsum("ij,ij->j", cost * slack, slack)


def minimise(rows, Y, cost, *, mixing=None, offset=None, start=None, tol=1e-8, max_iter=100):
    """Minimise 1/2 |V|^2 + squared hinge losses; see the module's docstring.

    Parameters
    ----------
    rows : AffineRows or StackedRows
        n rows of d + 1 features.
    Y : ndarray of shape (n, k)
        +1 or -1 for each row and class.
    cost : ndarray of shape (n, 1) or (n, k)
        Weights c_ij >= 0 of the losses.
    mixing : ndarray of shape (k, r), default=None
        The matrix R. None: the identity, and the k problems are solved side by side.
    offset : ndarray of shape (n, k), default=None
        Added to the scores. None: zero.
    start : ndarray of shape (r, d + 1), default=None
        Where to start. None: zero.
    tol : float
        Stop where the norm of the gradient is below tol times its norm at V = 0.
    max_iter : int
        Largest number of Newton steps; a ConvergenceWarning says if it was reached.

    Returns
    -------
    V : ndarray of shape (r, d + 1)
    F : ndarray of shape (n, k)
    objective : float
    """
    # With no mixing the classes do not touch: each has its own step lengths. Otherwise one length
    # serves all. `total` sums over what shares a length.
    if mixing is None:

        def total(A, B):
            return np.einsum("ij,ij->i", A, B)[:, None]

        def expand(S):
            return S.T  # (1, k), for arrays of shape (n, k)
    else:

        def total(A, B):
            return np.full((1, 1), np.vdot(A, B))

        def expand(S):
            return S

    def scores(V):
        F = rows.dot(V)
        return F if mixing is None else F @ mixing.T

    def back(G):
        return rows.tdot(G if mixing is None else G @ mixing)

    zero = np.zeros(Y.shape) if offset is None else offset
    slack = np.maximum(0.0, 1.0 - Y * zero)
    gradient = back(-2 * cost * Y * slack)
    first = np.sqrt(total(gradient, gradient))
    if start is None:
        V, F = np.zeros_like(gradient), zero.copy()
    else:
        V = start.copy()
        F = zero + scores(V)

    def losses(F):
        each = squared_hinge_loss(Y, F, cost)
        return each[:, None] if mixing is None else np.full((1, 1), each.sum())

    objective = total(V, V) / 2 + losses(F)
    for _ in range(max_iter):
        slack = np.maximum(0.0, 1.0 - Y * F)
        gradient = V + back(-2 * cost * Y * slack)
        norm = np.sqrt(total(gradient, gradient))
        if np.all(norm <= tol * first):
            break
        curvature = 2 * cost * (slack > 0)  # (n, k)
        step, change = _newton_direction(
            gradient,
            curvature,
            rows,
            mixing,
            scores,
            back,
            total,
            expand,
            np.minimum(0.1, np.sqrt(norm / np.maximum(first, 1e-300))) * norm,
        )
        slope = total(gradient, step)
        length = np.ones_like(slope)
        while True:
            V_next, F_next = V + length * step, F + expand(length) * change
            value = total(V_next, V_next) / 2 + losses(F_next)
            # rounding errors of the objective must not stop the last steps
            worse = value > objective + 1e-4 * length * slope + 1e-14 * np.abs(objective)
            if not worse.any() or length.min() < 1e-10:
                break
            length = np.where(worse, length / 2, length)
        V, F, objective = V_next, F_next, value
    else:
        warnings.warn(
            f"the support vector machine did not converge in {max_iter} Newton steps (gradient "
            f"{float(np.max(norm / np.maximum(first, 1e-300))):.1e} of the first, wanted {tol:g}); "
            "scale the features to unit norm or variance, or lower C_source and C_target.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return V, F, float(objective.sum())


def _newton_direction(
    gradient, curvature, rows, mixing, scores, back, total, expand, target, max_iter=1000
):
    """Solve H step = -gradient by conjugate gradients, preconditioned by the diagonal of H."""
    weights = curvature if mixing is None else curvature @ mixing**2
    diagonal = 1.0 + rows.tdot_squares(weights)
    step, change = np.zeros_like(gradient), np.zeros(curvature.shape)
    residual = -gradient
    search = residual / diagonal
    product = total(residual, search)
    for _ in range(max_iter):
        if np.all(np.sqrt(total(residual, residual)) <= target):
            break
        search_scores = scores(search)
        image = search + back(curvature * search_scores)
        energy = total(search, image)
        # a problem that is solved already has nothing to divide
        length = np.where(energy > 0, product / np.where(energy > 0, energy, 1.0), 0.0)
        step += length * search
        change += expand(length) * search_scores
        residual -= length * image
        scaled = residual / diagonal
        following = total(residual, scaled)
        ratio = np.where(product > 0, following / np.where(product > 0, product, 1.0), 0.0)
        search = scaled + ratio * search
        product = following
    return step, change
