"""scikit-learn's own checks of FineTunedClassifier, on rows of numbers."""

from oracles.striped_images import weights
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf.training import FineTunedClassifier


class AnyClassifier(FineTunedClassifier):
    """Takes a row of n numbers as a grey image of 1 x n pixels, whatever the numbers are."""

    _check_range = False

    def _row_shape(self, n_features):
        return (1, n_features)


SMALL = {"weights": weights(), "max_iter": 2, "n_jobs": 1, "random_state": 0}
# Batches are other ones when a row is repeated instead of counted twice.
MINI_BATCHES = {
    "check_sample_weight_equivalence_on_dense_data": "mini-batches differ",
}

if "expected_failed_checks" in parametrize_with_checks.__code__.co_varnames:

    @parametrize_with_checks(
        [AnyClassifier("head", image_shape=(1, 1), early_stopping=False, **SMALL)],
        expected_failed_checks=lambda estimator: MINI_BATCHES,
    )
    def test_sklearn_checks(estimator, check):
        check(estimator)


def test_tags():
    tags = get_tags(FineTunedClassifier())
    assert tags.requires_fit
    assert tags.estimator_type == "classifier"
    assert not tags.input_tags.two_d_array
    assert get_tags(FineTunedClassifier(image_shape=(8, 8))).input_tags.two_d_array
