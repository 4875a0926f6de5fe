"""Dropout on features, as an estimator."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from .._utils.doc_link import DOC_LINK_TEMPLATE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import MatrixLike, RandomState, SparseMatrix


def drop_at_random(X, p: float, random_state: np.random.RandomState) -> None:
    """Set values of training rows to 0 with probability p, in place, row by row."""
    for values in [X.data] if sp.issparse(X) else X:  # no second array of the size of X
        values *= random_state.uniform(size=values.shape) >= p


def scale_down(X, p: float) -> None:
    """Multiply test rows by 1 - p, in place."""
    values = X.data if sp.issparse(X) else X
    values *= X.dtype.type(1 - p)


class ActivationDropout(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Dropout on features: random zeros in training rows, scaled values in test rows.

    ``fit_transform`` sets each value to 0 with probability `p`; ``transform`` multiplies every
    value by ``1 - p``, its expectation under such zeros. Inside a
    :class:`~sklearn.pipeline.Pipeline`, ``fit`` calls ``fit_transform`` on the training rows and
    ``predict`` calls ``transform`` on the test rows, which is the protocol of the DeCAF paper [1]_.

    .. note::
        ``fit(X).transform(X)`` does not equal ``fit_transform(X)``: the first treats `X` as test
        rows, the second as training rows.

    Parameters
    ----------
    p : float, default=0.5
        Probability with which a training value becomes 0, in [0, 1).
    random_state : int, RandomState instance or None, default=None
        Draws the zeros. Pass an int for the same zeros at every call.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where `X` had names that are all strings.

    See Also
    --------
    DeCAFTransformer : Applies this with ``dropout=True``.

    Notes
    -----
    Things to know before using dropout in a pipeline:

    - :class:`~sklearn.frozen.FrozenEstimator` only ever calls ``transform``: dropout is off.
    - ``Pipeline(memory=...)`` stores the result of ``fit_transform``: with
      ``random_state=None`` one draw is frozen and used again.
    - Training scores, as in ``cv_results_`` with ``return_train_score=True``, come from
      ``transform``: they show the behaviour on test rows.

    NaN stays NaN, so that rows of images that could not be read stay recognisable.

    References
    ----------
    .. [1] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf import ActivationDropout
    >>> X = np.ones((2, 4), dtype=np.float32)
    >>> dropout = ActivationDropout(random_state=0)
    >>> dropout.fit_transform(X)
    array([[1., 1., 1., 1.],
           [0., 1., 0., 1.]], dtype=float32)
    >>> dropout.transform(X)
    array([[0.5, 0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """

    _doc_link_module = "sklearn_decaf"
    _doc_link_template = DOC_LINK_TEMPLATE
    _parameter_constraints = {
        "p": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, p: float = 0.5, random_state: RandomState = None) -> None:
        self.p = p
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: object = None) -> Self:
        """Check the parameters and remember the number of features.

        ``fit(X).transform(X)`` treats `X` as test rows and so differs from ``fit_transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        self._check(X, reset=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: MatrixLike, y: object = None) -> np.ndarray | SparseMatrix:
        """Set values of training rows to 0 at random.

        Differs from ``fit(X).transform(X)``, which treats `X` as test rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : None
            Ignored.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features)
            A copy in which each value is 0 with probability `p`; float32 for float32, else
            float64.
        """
        X = self._check(X, reset=True)
        drop_at_random(X, self.p, check_random_state(self.random_state))
        return X

    def transform(self, X: MatrixLike) -> np.ndarray | SparseMatrix:
        """Multiply test rows by ``1 - p``.

        Differs from what ``fit_transform`` does to training rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test rows.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_samples, n_features)
            A scaled copy; float32 for float32, else float64.
        """
        self._validate_params()
        X = self._check(X, reset=False)
        scale_down(X, self.p)
        return X

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the output columns: those of the input.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; None takes those seen in ``fit``.

        Returns
        -------
        names : ndarray of str
            The same names.

        Raises
        ------
        NotFittedError
            Before ``fit``, when nobody knows how many there are.
        """
        if not hasattr(self, "n_features_in_"):
            # In these words scikit-learn knows that a frame is to be made without names.
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet, and does not provide "
                "get_feature_names_out before."
            )
        return super().get_feature_names_out(input_features)

    def _check(self, X, *, reset):
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse=("csr", "csc"),
            dtype=(np.float64, np.float32),
            ensure_all_finite="allow-nan",
            copy=True,
        )

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
