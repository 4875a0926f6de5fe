"""Max-margin domain transforms (Hoffman et al. 2013)."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import row_norms, safe_sparse_dot
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .._utils.labels import shown
from .base import AdaptationEstimator, DomainClassifierMixin
from .domains import check_labels, fit_domains, predict_domains, require_rows
from .squared_hinge import AffineRows, StackedRows, class_signs, minimise
from .subspaces import pca_basis

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike

# How far the gradient of each step is brought down. To be exact costs nothing on small problems;
# on large ones, and in single precision, this is still far below what changes a prediction.
_EXACT, _LARGE, _TOLERANCE = 1e-8, 1_000_000, 1e-5


class MMDTClassifier(DomainClassifierMixin, AdaptationEstimator):
    """Max-margin domain transforms: support vector machines and a map from target to source.

    A linear map A moves target rows to where the classifiers of the source work [1]_. All classes
    share the map, so it also helps classes without labelled target rows. The map and the
    classifiers W are learned in turns:

    1. one-against-rest support vector machines W on the source rows and the mapped target rows,
       ``1/2 |W|^2 + C_source * source losses + C_target * target losses``;
    2. the map, with W fixed, kept close to the identity,
       ``1/2 |A - I|^2 + C_transform * target losses``.

    The losses are squared hinges, summed over rows and classes. A constant 1 is added to each
    row, so W and A have intercepts.

    Parameters
    ----------
    C_source : float, default=0.05
        Weight of the losses of source rows in step 1. The default is the authors', for domains
        that differ much. Where the source is close to the target, larger values, up to `C_target`,
        are better.

    C_target : float, default=1.0
        Weight of the losses of target rows in step 1.

    C_transform : float, default=5e-4
        Weight of the losses in step 2. See the notes for the default.

    transform_loss : {"cosine", "linear"}, default="cosine"
        Scores in the losses of step 2. "cosine" scales classifiers and rows to unit length, as the
        authors' program does. "linear" takes the scores of step 1, as the paper does:
        ``MMDTClassifier(C_source, C, C, transform_loss="linear")`` minimises the one objective of
        the paper.

    n_components : int, default=None
        Project the rows on this many principal directions of all rows passed to `fit`, unlabelled
        ones included, without taking out the mean. None uses the features as they are.

    max_iter : int, default=2
        Largest number of rounds of the two steps; [1]_ uses 2.

    tol : float, default=None
        Stop when a round changes the target classifiers by less than this, relative to their norm,
        and warn if `max_iter` is reached first. None does `max_iter` rounds without a warning.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.

    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights of the classifiers for target rows, the map included.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        Their intercepts.

    source_coef_, source_intercept_ : ndarray
        The same for source rows.

    objective_ : ndarray of shape (n_iter_, 2)
        The objectives of steps 1 and 2 after each round.

    change_ : ndarray of shape (n_iter_,)
        Relative change of the target's classifiers in each round.

    converged_ : bool
        Whether the last change was below `tol` (1e-3 if `tol` is None).

    n_iter_ : int
        Number of rounds.

    components_ : ndarray of shape (n_components, n_features)
        The principal directions; only if `n_components` is given.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, if they are all strings.

    See Also
    --------
    DomainSubsetClassifier : The same without a map.

    Notes
    -----
    Time and memory are linear in the number of rows and in the number of features: A differs from
    the identity by a matrix whose rank is at most the number of classes, and is never formed.
    Several source domains count as one, and so do several target domains.

    The authors' program has weight 5e-5 (gamma = 1e-4) in step 2, but its solver ends with
    multipliers about 7 to 15 times as large as those of the exact solution. Here the problem is
    solved exactly, and the default of `C_transform` is ten times the weight of the program. On
    Office-Caltech10 with SURF features, accuracies agree with the program within 0.7 percentage
    points on all twelve pairs of domains.

    References
    ----------
    .. [1] J. Hoffman, E. Rodner, J. Donahue, K. Saenko and T. Darrell. Efficient Learning of
       Domain-invariant Image Representations. ICLR 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.adaptation import MMDTClassifier
    >>> X = np.array([[0.0, 1], [1, 0], [0, 1.2], [1.2, 0], [5, 1], [6, 0], [5.1, 0.9]])
    >>> y = np.array(["cat", "dog", "cat", "dog", "cat", "dog", -1], dtype=object)
    >>> sample_domain = np.array([1, 1, 1, 1, -2, -2, -2])  # >= 0: source, < 0: target
    >>> mmdt = MMDTClassifier().fit(X, y, sample_domain=sample_domain)
    >>> mmdt.predict(X[4:])
    array(['cat', 'dog', 'cat'], dtype='<U3')
    >>> mmdt.predict(X, sample_domain=sample_domain)
    array(['cat', 'dog', 'cat', 'dog', 'cat', 'dog', 'cat'], dtype='<U3')
    """

    __metadata_request__decision_function = {"sample_domain": True}

    _parameter_constraints: dict = {
        "C_source": [Interval(Real, 0, None, closed="neither")],
        "C_target": [Interval(Real, 0, None, closed="neither")],
        "C_transform": [Interval(Real, 0, None, closed="left")],
        "transform_loss": [StrOptions({"cosine", "linear"})],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        C_source: float = 0.05,
        C_target: float = 1.0,
        C_transform: float = 5e-4,
        *,
        transform_loss: Literal["cosine", "linear"] = "cosine",
        n_components: int | None = None,
        max_iter: int = 2,
        tol: float | None = None,
    ) -> None:
        self.C_source = C_source
        self.C_target = C_target
        self.C_transform = C_transform
        self.transform_loss = transform_loss
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn the classifiers and the map.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of all domains.

        y : array-like of shape (n_samples,)
            Class labels; -1, None, NaN and NA are no label. Rows without a label count only for
            `n_components`.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: the rows without a
            class label are the target.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0 of the rows' losses.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If there is no labelled source or target row, all labels are of one class, or
            `n_components` is more than the directions in which the rows vary.
        """
        self._validate_params()
        X = self._check_rows(X, reset=True)
        n = X.shape[0]
        labels, labelled = check_labels(y, n, self)
        domains = fit_domains(sample_domain, y, n)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        # a weight of zero is as good as the row's absence
        source, target = (labelled & side & (weight > 0) for side in (domains >= 0, domains < 0))
        require_rows(source, "labelled source", domains, type(self).__name__)
        require_rows(target, "labelled target", domains, type(self).__name__)
        self.classes_ = np.unique(labels[source | target])
        if len(self.classes_) < 2:
            raise ValueError(
                "MMDTClassifier needs rows of 2 classes or more; all labelled rows are of one "
                f"class, {shown(self.classes_[0])}."
            )
        X = self._project(X)
        Y_source, Y_target = (class_signs(labels[rows], self.classes_) for rows in (source, target))
        self._alternate(X[source], X[target], Y_source, Y_target, weight[source], weight[target])
        return self

    def _project(self, X):
        """Fit and apply the projection on principal directions."""
        self.__dict__.pop("components_", None)
        if self.n_components is None:
            return X
        if self.n_components > X.shape[1]:
            raise ValueError(
                f"n_components={self.n_components} is more than the {X.shape[1]} features."
            )
        basis = pca_basis(X, self.n_components)
        if basis.shape[1] < self.n_components:
            raise ValueError(
                f"n_components={self.n_components} is too large: the {X.shape[0]} rows vary in "
                f"{basis.shape[1]} directions only. Use n_components <= {basis.shape[1]}, "
                "or None for all features."
            )
        self.components_ = basis.T
        return _product(X, self.components_)

    def _alternate(self, X_source, X_target, Y_source, Y_target, w_source, w_target):
        Y = np.concatenate([Y_source, Y_target])
        cost = np.concatenate([self.C_source * w_source, self.C_target * w_target])[:, None]
        target, mapped, W, previous = AffineRows(X_target), AffineRows(X_target), None, None
        size = X_source.shape[1] * len(Y)
        exact = size <= _LARGE and X_source.dtype == np.float64
        tol = _EXACT if exact else _TOLERANCE
        objectives, changes = [], []
        for _ in range(self.max_iter):
            rows = StackedRows((AffineRows(X_source), mapped))
            W, _, svm_objective = minimise(rows, Y, cost, start=W, tol=tol)
            left, step_objective = self._transform_step(W, X_target, Y_target, w_target, tol)
            # x A = x + (x left) W; target classifiers W A' = W + (W W') left'
            W_target = W + (W @ W.T) @ left
            mapped = AffineRows(X_target, left=target.dot(left), right=W)
            objectives.append((svm_objective, step_objective))
            norm = np.linalg.norm(W_target)
            old = W if previous is None else previous
            changes.append(np.linalg.norm(W_target - old) / norm if norm > 0 else 0.0)
            previous = W_target
            if self.tol is not None and changes[-1] <= self.tol:
                break
        self.objective_, self.change_ = np.array(objectives), np.array(changes)
        self.n_iter_ = len(changes)
        self.converged_ = bool(changes[-1] <= (1e-3 if self.tol is None else self.tol))
        if self.tol is not None and not self.converged_:
            warnings.warn(
                f"MMDTClassifier stopped after max_iter={self.max_iter} rounds with a change of "
                f"{changes[-1]:.2e}, above tol={self.tol:g}. Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._map = left, W
        self.coef_, self.intercept_ = self._in_features(W_target)
        self.source_coef_, self.source_intercept_ = self._in_features(W)

    def _transform_step(self, W, X, Y, weight, tol):
        """Find the map for fixed classifiers: A = I + left' W, with `left` of shape (k, d + 1).

        With A - I = M'W the scores are W x + (W W') M x; a root R of W W' = R R' turns the penalty
        |A - I|^2 = tr(M' W W' M) into |V|^2 for V = R'M. At the optimum M is a sum of target rows
        times the derivatives of their losses.
        """
        if self.transform_loss == "cosine":
            lengths = np.linalg.norm(W, axis=1, keepdims=True)
            W = W / np.where(lengths > 0, lengths, 1.0)
            rows = AffineRows(X, scale=1 / np.sqrt(row_norms(X, squared=True) + 1))
        else:
            rows = AffineRows(X)
        values, vectors = np.linalg.eigh(W @ W.T)
        root = vectors * np.sqrt(np.maximum(values, 0.0))  # (k, k)
        cost = self.C_transform * weight[:, None]
        _, scores, objective = minimise(rows, Y, cost, mixing=root, offset=rows.dot(W), tol=tol)
        derivative = 2 * cost * Y * np.maximum(0.0, 1.0 - Y * scores)  # (n, k)
        return AffineRows(X).tdot(derivative), objective

    def _in_features(self, W):
        """Weights and intercepts for the original features."""
        coef = W[:, :-1] if self.n_components is None else W[:, :-1] @ self.components_
        return np.ascontiguousarray(coef), W[:, -1].copy()

    def decision_function(
        self, X: MatrixLike, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Compute the scores of the classifiers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels: target rows (< 0) are mapped first, source rows (>= 0) are not. None:
            all rows are target rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The scores; one column, positive for the second class, if there are two classes.
        """
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)
        source = predict_domains(sample_domain, X.shape[0]) >= 0
        scores = _product(X, self.coef_) + self.intercept_
        if source.any():
            scores[source] = _product(X[source], self.source_coef_) + self.source_intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: MatrixLike, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: all are target.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The predicted labels.
        """
        return self._best_labels(self.decision_function(X, sample_domain))

    def map_target(self, X: MatrixLike) -> np.ndarray:
        """Map target rows to the source domain, where other classifiers can use them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Target rows.

        Returns
        -------
        X_mapped : ndarray of shape (n_samples, n_features) or (n_samples, n_components)
            The mapped rows, in the space of the principal directions if `n_components` is given.
            The constant feature, which the map may change as well, is left out.
        """
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)
        if self.n_components is not None:
            X = _product(X, self.components_)
        left, W = self._map
        dense = X.toarray() if sparse.issparse(X) else X
        return dense + AffineRows(X).dot(left) @ W[:, :-1]

    @property
    def transform_matrix_(self) -> np.ndarray:
        """Map A of shape (d + 1, d + 1), made on demand: ``[x, 1] @ A`` is the mapped row."""
        check_is_fitted(self)
        left, W = self._map
        return np.eye(left.shape[1]) + left.T @ W

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _product(X, weights):
    """X times the transpose of float64 weights, in the precision of X."""
    return safe_sparse_dot(X, weights.T.astype(X.dtype, copy=False), dense_output=True)
