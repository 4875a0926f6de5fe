"""scikit-learn's own checks, for estimators that get domain labels from a wrapper."""

import zlib

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf.adaptation import (
    DomainScaler,
    DomainSubsetClassifier,
    FeatureAugmentation,
    GeodesicFlowKernel,
    LateFusionClassifier,
    MMDTClassifier,
)


def domains_for(X, y=None):
    """Domains that depend on a row's content alone, so that repeated and reordered rows agree.

    Both domains get rows, of each class where there are labels.
    """
    rows = X.toarray() if sparse.issparse(X) else np.asarray(X)
    if rows.ndim == 0:
        return None
    try:
        keys = rows.astype(float).reshape(len(rows), -1)
        keys = np.where(np.isfinite(keys), keys, 1e3)
        keys = (
            keys.round(9) @ np.linspace(1, 2, keys.shape[1]) if keys.size else np.arange(len(rows))
        )
    except (TypeError, ValueError):
        keys = 1e3 * (np.arange(len(rows)) == 0) - np.arange(
            len(rows)
        )  # the check spoils the first row, which makes it a source row
    y = None if y is None else np.asarray(y).ravel()
    labels = np.zeros(len(rows)) if y is None or len(y) != len(rows) else y
    sample_domain = np.where(zlib_parity(keys), -2, 1)
    for label in set(labels.tolist()):
        of_class = np.flatnonzero(labels == label)
        if len(set(sample_domain[of_class])) < 2:
            _, rank = np.unique(-keys[of_class], return_inverse=True)
            sample_domain[of_class] = np.where(rank.ravel() % 2, -2, 1)
    spoilt = np.abs(keys) >= 1e3
    sample_domain[spoilt] = 1
    return sample_domain


def zlib_parity(keys):
    return np.array([zlib.crc32(np.round(key, 6).tobytes()) & 1 for key in keys], dtype=bool)


class WithDomains:
    """Makes up domain labels in fit where the caller has none."""

    def fit(self, X, y=None, sample_domain=None, **params):
        given = domains_for(X, y) if sample_domain is None else sample_domain
        return super().fit(X, y, sample_domain=given, **params)


class TransformerWithDomains(WithDomains):
    def fit_transform(self, X, y=None, sample_domain=None):
        # as target rows, like `transform` without domains
        return self.fit(X, y, sample_domain=sample_domain).transform(X)


class Subset(WithDomains, DomainSubsetClassifier):
    pass


class Fusion(WithDomains, LateFusionClassifier):
    pass


class Augmentation(TransformerWithDomains, FeatureAugmentation):
    pass


class Scaler(TransformerWithDomains, DomainScaler):
    pass


class Flow(TransformerWithDomains, GeodesicFlowKernel):
    pass


class MMDT(WithDomains, MMDTClassifier):
    # the checks look for sample_weight in the signature
    def fit(self, X, y=None, sample_domain=None, sample_weight=None):
        # no look at y, so that the domains stay when rows of weight 0 are taken away
        given = domains_for(X) if sample_domain is None else sample_domain
        return super().fit(X, y, given, sample_weight=sample_weight)


EXPECTED = {
    "check_classifiers_classes": "y = -1 is no class but an unlabelled row",
    "check_class_weight_classifiers": "there is no class_weight",
}

ESTIMATORS = [
    Subset(LinearSVC(random_state=0), train_on="both"),
    Subset(LogisticRegression(), train_on="source"),
    Fusion(LogisticRegression()),
    Augmentation(),
    Scaler(),
    Flow(1),
    Flow(),
    MMDT(),
]


def expected_failures(estimator):
    return EXPECTED if hasattr(estimator, "predict") else {}


@pytest.mark.slow
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_wrapper_gives_both_domains_labelled_rows():
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = np.repeat([0, 1], 10)
    sample_domain = domains_for(X, y)
    for label in (0, 1):
        assert set(sample_domain[y == label]) == {1, -2}
    twice = domains_for(np.concatenate([X, X]), np.concatenate([y, y]))
    assert np.array_equal(twice[:20], sample_domain) and np.array_equal(twice[20:], sample_domain)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_without_the_wrapper_fit_asks_for_domains(estimator):
    cls = next(c for c in type(estimator).__mro__ if c.__module__.startswith("sklearn_decaf."))
    X, y = np.random.default_rng(0).normal(size=(20, 4)), np.repeat([0, 1], 10)
    with pytest.raises(ValueError, match="sample_domain is missing"):
        cls(**estimator.get_params(deep=False)).fit(X, y)
