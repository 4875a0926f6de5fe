"""Feature augmentation and the scaler: values, kernels, sparse rows, several sources."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sklearn_decaf.adaptation import DomainScaler, FeatureAugmentation, augmented_kernel


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    sample_domain = rng.permutation(np.repeat([2, 0, -3, -1], [10, 12, 14, 9]))
    X = rng.normal(size=(45, 4)) * rng.uniform(1, 3, 4) + sample_domain[:, None]
    y = np.arange(45) % 3
    X[y == 1] += 2
    return X, y, sample_domain


def test_copies_are_where_daume_puts_them(data):
    X, _, sample_domain = data
    augmentation = FeatureAugmentation()
    augmented = augmentation.fit_transform(X, sample_domain=sample_domain)
    assert augmentation.domains_.tolist() == [0, 2, -1, -3]
    assert augmented.shape == (45, 20)
    for row, x, domain in zip(augmented, X, sample_domain):
        blocks = row.reshape(5, 4)
        own = 1 + [0, 2, -1, -3].index(domain)
        assert np.array_equal(blocks[0], x) and np.array_equal(blocks[own], x)
        assert not np.delete(blocks, [0, own], axis=0).any()
    again = augmentation.transform(X, sample_domain=sample_domain)
    assert np.array_equal(again, augmented)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_sparse_rows_stay_sparse_and_equal(data, make):
    X, _, sample_domain = data
    X = np.where(X > 1, X, 0)
    dense = FeatureAugmentation().fit_transform(X, sample_domain=sample_domain)
    thin = FeatureAugmentation().fit_transform(make(X), sample_domain=sample_domain)
    assert sparse.issparse(thin)
    assert thin.nnz == 2 * np.count_nonzero(X)
    assert np.array_equal(thin.toarray(), dense)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(data, dtype):
    X, _, sample_domain = data
    for transformer in (FeatureAugmentation(), DomainScaler()):
        out = transformer.fit_transform(X.astype(dtype), sample_domain=sample_domain)
        assert out.dtype == dtype


def test_linear_kernel_of_augmented_rows_is_the_augmented_kernel(data):
    X, _, sample_domain = data
    augmented = FeatureAugmentation().fit_transform(X, sample_domain=sample_domain)
    assert np.allclose(augmented @ augmented.T, augmented_kernel(X @ X.T, sample_domain))
    some = augmented_kernel(X[:7] @ X.T, sample_domain[:7], sample_domain)
    assert np.allclose(augmented[:7] @ augmented.T, some)


def test_kernel_machine_equals_linear_machine_on_augmented_rows(data):
    X, y, sample_domain = data
    augmented = FeatureAugmentation().fit_transform(X, sample_domain=sample_domain)
    linear = SVC(kernel="linear", C=0.3, tol=1e-8).fit(augmented, y)
    kernel = SVC(kernel="precomputed", C=0.3, tol=1e-8)
    gram = augmented_kernel(X @ X.T, sample_domain)
    kernel.fit(gram, y)
    assert np.allclose(
        linear.decision_function(augmented), kernel.decision_function(gram), atol=1e-5
    )
    # with any other kernel, which has no explicit features
    SVC(kernel="precomputed").fit(augmented_kernel(rbf_kernel(X), sample_domain), y)


def test_kernel_input_errors():
    with pytest.raises(ValueError, match="got 2 values for 3 rows"):
        augmented_kernel(np.eye(3), [1, -2])
    with pytest.raises(ValueError, match="one value per row"):
        augmented_kernel(np.ones((2, 3)), [1, -2], [1, -2])


def test_one_domain_has_weights_of_its_own(data):
    """Opposite labels in the two domains: no shared classifier can learn them, this one does."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    sample_domain = np.repeat([1, -2], 40)
    y = (X[:, 0] > 0) ^ (sample_domain < 0)
    augmentation = FeatureAugmentation()
    svm = LinearSVC(C=10).fit(augmentation.fit_transform(X, sample_domain=sample_domain), y)
    assert svm.score(augmentation.transform(X[40:]), y[40:]) > 0.95
    assert LinearSVC(C=10).fit(X, y).score(X[40:], y[40:]) < 0.7


def test_rows_without_domain_are_of_the_only_target(data):
    X, _, sample_domain = data
    for transformer in (FeatureAugmentation(), DomainScaler()):
        transformer.fit(X, sample_domain=np.where(sample_domain < 0, -7, sample_domain))
        assert np.array_equal(transformer.transform(X), transformer.transform(X, sample_domain=-7))
        transformer.fit(X, sample_domain=sample_domain)
        with pytest.raises(ValueError, match=r"target domains \[-1, -3\]: pass sample_domain"):
            transformer.transform(X)


@pytest.mark.parametrize("unseen", [5, -2])
def test_unseen_domain_is_named(data, unseen):
    X, _, sample_domain = data
    for transformer in (FeatureAugmentation(), DomainScaler()):
        transformer.fit(X, sample_domain=sample_domain)
        with pytest.raises(
            ValueError, match=rf"domain {unseen}, .*knows the domains \[0, 2, -1, -3\]"
        ):
            transformer.transform(X, sample_domain=unseen)


def test_feature_names_and_frames(data):
    pandas = pytest.importorskip("pandas")
    X, _, sample_domain = data
    frame = pandas.DataFrame(X, columns=list("abcd"), index=np.arange(45) + 100)
    augmentation = FeatureAugmentation().set_output(transform="pandas")
    out = augmentation.fit_transform(frame, sample_domain=sample_domain)
    assert out.columns[:5].tolist() == ["shared_a", "shared_b", "shared_c", "shared_d", "source0_a"]
    assert out.columns[-1] == "target3_d" and out.index[0] == 100
    assert np.array_equal(out, FeatureAugmentation().fit_transform(X, sample_domain=sample_domain))
    scaled = (
        DomainScaler()
        .set_output(transform="pandas")
        .fit_transform(frame, sample_domain=sample_domain)
    )
    assert scaled.columns.tolist() == list("abcd")


def test_scaler_is_a_standard_scaler_per_domain(data):
    X, _, sample_domain = data
    X[:, 2] = 5.0  # constant
    X[sample_domain == 0, 3] = 1e8  # constant in one domain, and large
    scaled = DomainScaler().fit_transform(X, sample_domain=sample_domain)
    for domain in np.unique(sample_domain):
        rows = sample_domain == domain
        expected = StandardScaler().fit_transform(X[rows])
        assert np.allclose(scaled[rows], expected)
    only_scale = DomainScaler(with_mean=False).fit_transform(
        sparse.csr_array(X), sample_domain=sample_domain
    )
    dense = DomainScaler(with_mean=False).fit_transform(X, sample_domain=sample_domain)
    assert np.allclose(only_scale.toarray(), dense)
    with pytest.raises(ValueError, match="with_mean=False"):
        DomainScaler().fit(sparse.csr_array(X), sample_domain=sample_domain)
