"""scikit-learn's own checks of estimators, on rows of numbers."""

import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf.networks.layers import Conv, ReLU
from sklearn_decaf.training import ConvNetClassifier, ConvNetRegressor


class _RowsOfAnyWidth:
    """Takes a row of n numbers as a grey image of 1 x n pixels."""

    def _row_shape(self, n_features):
        return 1, n_features, 1


class AnyClassifier(_RowsOfAnyWidth, ConvNetClassifier):
    pass


class AnyRegressor(_RowsOfAnyWidth, ConvNetRegressor):
    pass


SMALL = {
    "network": [Conv("conv", filters=8, kernel_size=(1, 9), padding=(0, 4)), ReLU("relu")],
    "image_shape": (1, 1),
    "learning_rate_init": 0.03,
    "batch_size": 64,
    "learning_rate": "constant",
    "tol": 0.01,
    "max_iter": 30,
    "dropout": 0,
    "n_jobs": 1,
}
# Batches are other ones when a row is repeated instead of counted twice.
MINI_BATCHES = {
    "check_sample_weight_equivalence_on_dense_data": "mini-batches differ",
}

if "expected_failed_checks" in parametrize_with_checks.__code__.co_varnames:

    @pytest.mark.slow
    @parametrize_with_checks(
        [AnyClassifier(**SMALL), AnyRegressor(**SMALL)],
        expected_failed_checks=lambda estimator: MINI_BATCHES,
    )
    def test_sklearn_checks(estimator, check):
        check(estimator)


@pytest.mark.parametrize("kind", [ConvNetClassifier, ConvNetRegressor])
def test_tags_follow_the_input(kind):
    assert not get_tags(kind()).input_tags.two_d_array
    assert get_tags(kind(image_shape=(8, 8))).input_tags.two_d_array
