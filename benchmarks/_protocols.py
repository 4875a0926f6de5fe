"""The protocols of the DeCAF paper as pipelines, to copy from.

Each function returns what goes into scikit-learn's `cross_val_score`. As they stand, the pipelines
start from features that were computed before. To start from photographs, make the network the first
step, with a cache so that the searches run it once a photograph; nothing else changes::

    decaf = DeCAFTransformer(layer=6, dropout=False, cache="activations")
    Pipeline([("decaf", decaf), *pipeline("SVM", dropout=True).steps])

The scores of the paper are accuracies averaged over the classes, scikit-learn's
"balanced_accuracy", over several random splits. Features are scaled to length 1, so that the same
values of C suit all layers and networks.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from sklearn_decaf import ActivationDropout
from sklearn_decaf.adaptation import (
    DomainScaler,
    DomainSubsetClassifier,
    FeatureAugmentation,
    GeodesicFlowKernel,
    MMDTClassifier,
)
from sklearn_decaf.model_selection import DomainShuffleSplit, PerClassShuffleSplit

# The first of equally good values is taken, and a few validation images a class often leave
# several: weak regularisation first, which is the safe side for features of length 1.
C_VALUES = [100.0, 10.0, 1.0, 0.1]
FIXED_C = 10.0


def classifier(kind):
    """A linear classifier by the paper's name of it."""
    if kind == "SVM":
        # liblinear's own tolerance is 0.1; scikit-learn's, 1e-4, takes ten times as long at C = 100
        return LinearSVC(C=FIXED_C, tol=1e-2, max_iter=10_000, random_state=0)
    return LogisticRegression(C=FIXED_C, max_iter=1000)


def pipeline(kind, dropout=False):
    """Classify features of a frozen network, with or without dropout on them."""
    return Pipeline(
        [
            ("scale", Normalizer()),
            ("dropout", ActivationDropout(random_state=0) if dropout else "passthrough"),
            ("classifier", classifier(kind)),
        ]
    )


def choose_c(model, cv):
    """Choose C within each training set, then train on all of it."""
    return GridSearchCV(model, {"classifier__C": C_VALUES}, scoring="balanced_accuracy", cv=cv)


def caltech101(kind, dropout):
    """Figure 4, left: 30 training images a class, C chosen by training on 25 of them."""
    model = choose_c(
        pipeline(kind, dropout), PerClassShuffleSplit(25, 5, n_splits=1, random_state=0)
    )
    return model, PerClassShuffleSplit(30, n_splits=5, random_state=0)


def caltech101_learning_curve(kind, dropout, n_train):
    """Figure 4, right: fixed parameters; the fewer images, the more splits: the luck is greater."""
    n_splits = 20 if n_train <= 5 else 5
    return pipeline(kind, dropout), PerClassShuffleSplit(n_train, n_splits=n_splits, random_state=0)


def cub200(kind):
    """Table 2, first row; the official split. The paper does not say how C was chosen."""
    cv = StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    return choose_c(pipeline(kind), cv)


def sun397(kind, dropout):
    """Table 3: official partitions of 50 training images, C chosen by training on 42 of them."""
    return choose_c(
        pipeline(kind, dropout), PerClassShuffleSplit(42, 8, n_splits=1, random_state=0)
    )


OFFICE_METHODS = (
    *("LogReg (S)", "SVM (S)", "LogReg (T)", "SVM (T)", "LogReg (ST)", "SVM (ST)"),
    *("Daumé III 2007", "Hoffman et al. 2013", "Gong et al. 2012"),
)


def office(method, n_components=None):
    """Table 1: the models, which take `sample_domain` by metadata routing.

    `n_components` is for the one whose cost grows with the square of the number of features.
    """
    kind, _, rows = method.partition(" (")
    if rows:
        train_on = {"S": "source", "T": "target", "ST": "both"}[rows.rstrip(")")]
        return make_pipeline(Normalizer(), DomainSubsetClassifier(classifier(kind), train_on))
    if method.startswith("Daumé"):
        return make_pipeline(Normalizer(), FeatureAugmentation(), classifier("SVM"))
    if method.startswith("Hoffman"):
        return make_pipeline(Normalizer(), MMDTClassifier(n_components=n_components))
    nearest = DomainSubsetClassifier(KNeighborsClassifier(1), "source")
    return make_pipeline(Normalizer(), DomainScaler(), GeodesicFlowKernel(20), nearest)


def office_splits(y, sample_domain, n_source):
    """20 (or 8) source and 3 target images a class; the other target images are tested."""
    splitter = DomainShuffleSplit(n_source, 3, n_splits=5, random_state=0)
    return list(splitter.split(y, y, sample_domain=sample_domain))


def with_unlabelled_target(X, y, sample_domain, splits):
    """The target rows once more, without labels, in every training set: for methods that adapt."""
    target = np.flatnonzero(np.asarray(sample_domain) < 0)
    more = len(y) + np.arange(len(target))
    return (
        np.concatenate([X, X[target]]),
        np.concatenate([y, np.full(len(target), -1)]),
        np.concatenate([sample_domain, sample_domain[target]]),
        [(np.concatenate([train, more]), test) for train, test in splits],
    )
