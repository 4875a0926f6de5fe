"""The geodesic flow kernel against the integral that defines it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from sklearn_decaf._adaptation.geodesic_flow import flow_components, flow_moments
from sklearn_decaf._adaptation.subspaces import pca_basis, pls_basis
from sklearn_decaf.adaptation import GeodesicFlowKernel, geodesic_flow_kernel, subspace_disagreement


def orthonormal(rng, n, d):
    return linalg.qr(rng.normal(size=(n, d)), mode="economic")[0]


def turned(basis, angles, rng):
    """A second basis at the given principal angles to the first, mixed at random."""
    n, d = basis.shape
    rest = rng.normal(size=(n, d))
    rest = linalg.qr(rest - basis @ (basis.T @ rest), mode="economic")[0]
    mixing = linalg.qr(rng.normal(size=(d, d)))[0]
    return (basis * np.cos(angles) + rest * np.sin(angles)) @ mixing


def kernel_by_quadrature(source, target, nodes=40):
    """G by Gauss-Legendre quadrature of the projectors along the geodesic.

    The geodesic is followed by the matrix exponential of its tangent in the whole space, so that
    nothing is shared with the closed form.
    """
    n = len(source)
    overlap = source.T @ target
    tangent = (target - source @ overlap) @ linalg.inv(overlap)
    left, tangents, right = linalg.svd(tangent, full_matrices=False)
    velocity = left * np.arctan(tangents) @ right  # (n, d)
    generator = velocity @ source.T - source @ velocity.T
    points, weights = np.polynomial.legendre.leggauss(nodes)
    G = np.zeros((n, n))
    for t, w in zip((points + 1) / 2, weights / 2):
        phi = linalg.expm(t * generator) @ source
        G += w * phi @ phi.T
    return G


@pytest.mark.parametrize(("n", "d"), [(6, 1), (7, 3), (12, 6), (9, 4)])
def test_closed_form_is_the_integral(n, d):
    rng = np.random.default_rng(n)
    source, target = orthonormal(rng, n, d), orthonormal(rng, n, d)
    components, angles = flow_components(source, target)
    assert np.allclose(components.T @ components, kernel_by_quadrature(source, target), atol=1e-12)
    assert np.allclose(np.sort(angles), np.sort(linalg.subspace_angles(source, target)))


@pytest.mark.slow
@given(
    st.lists(st.floats(0, np.pi / 2 - 1e-3) | st.floats(0, 1e-6), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_any_angles(angles, seed):
    rng = np.random.default_rng(seed)
    source = orthonormal(rng, 11, len(angles))
    target = turned(source, np.array(angles), rng)
    components, found = flow_components(source, target)
    assert np.allclose(found, np.sort(angles), rtol=1e-12, atol=1e-14)
    G = components.T @ components
    assert np.allclose(G, kernel_by_quadrature(source, target), atol=1e-10)
    assert linalg.eigvalsh(G).max() <= 1 + 1e-12  # an average of projectors


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-16, 1e-12, 1e-8, 1e-5, 1e-3, 0.2499, 0.2501])
def test_small_angles_lose_nothing(angle):
    """Against the Taylor series, in relative precision."""
    moments = [m.item() for m in flow_moments(np.array([angle]))]
    t = angle
    expected = (
        1 - t**2 / 3 + t**4 / 15 - 2 * t**6 / 315 + t**8 / 2835,
        t / 2 - t**3 / 6 + t**5 / 45 - t**7 / 630,
        t**2 / 3 - t**4 / 15 + 2 * t**6 / 315 - t**8 / 2835,
    )
    assert np.allclose(moments, expected, rtol=1e-7 if angle > 0.1 else 1e-13, atol=0)


def test_equal_subspaces_give_the_projection():
    basis = orthonormal(np.random.default_rng(0), 10, 4)
    components, angles = flow_components(basis, basis[:, ::-1])
    assert np.array_equal(angles, np.zeros(4))
    assert np.allclose(components.T @ components, basis @ basis.T, atol=1e-14)


def test_orthogonal_subspaces():
    components, angles = flow_components(np.eye(6)[:, :3], np.eye(6)[:, 3:])
    assert np.allclose(angles, np.pi / 2)
    G = components.T @ components
    assert np.allclose(np.diag(G), 0.5)
    assert np.allclose(
        np.sort(linalg.eigvalsh(G)), np.repeat([0.5 - 1 / np.pi, 0.5 + 1 / np.pi], 3)
    )


@pytest.mark.slow
def test_half_the_features_of_a_large_space():
    rng = np.random.default_rng(0)
    source, target = orthonormal(rng, 200, 100), orthonormal(rng, 200, 100)
    components, angles = flow_components(source, target)
    assert np.allclose(np.sort(angles)[::-1], linalg.subspace_angles(source, target))
    G = components.T @ components
    values = linalg.eigvalsh(G)
    assert values.min() > -1e-12 and values.max() < 1 + 1e-12
    assert np.isclose(np.trace(G), 100)


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    y = np.tile([0, 1, 2], 30)
    X = rng.normal(size=(90, 12)) + 3 * np.eye(12)[y]
    X[45:] = X[45:] @ linalg.qr(rng.normal(size=(12, 12)))[0] + 1
    return X, y, np.repeat([1, -2], 45)


def test_estimator_is_the_kernel_of_the_principal_components(data):
    X, _, sample_domain = data
    flow = GeodesicFlowKernel(4).fit(X, sample_domain=sample_domain)
    bases = [PCA(4).fit(rows).components_.T for rows in (X[:45], X[45:])]
    G = kernel_by_quadrature(*bases)
    assert np.allclose(flow.kernel(X), X @ G @ X.T)
    assert np.allclose(flow.kernel(X[:5], X[5:9]), X[:5] @ G @ X[5:9].T)
    features = flow.transform(X)
    assert features.shape == (90, 8)
    assert np.allclose(features @ features.T, X @ G @ X.T)
    by_function = geodesic_flow_kernel(
        X[:5], X[5:9], source_basis=bases[0] * 3, target_basis=bases[1] @ np.diag([1, 2, -1, 4.0])
    )
    assert np.allclose(by_function, X[:5] @ G @ X[5:9].T)
    # coordinates of G^(1/2) x: their squares are x' G x
    assert np.allclose(np.sum(features**2, axis=1), np.einsum("ij,jk,ik->i", X, G, X))


def test_kernel_for_svc_and_its_clones(data):
    import pickle

    from sklearn.base import clone

    X, y, sample_domain = data
    flow = GeodesicFlowKernel(3).fit(X, sample_domain=sample_domain)
    svc = SVC(kernel=flow.kernel).fit(X[:45], y[:45])
    linear = SVC(kernel="linear").fit(flow.transform(X[:45]), y[:45])
    assert np.array_equal(svc.predict(X[45:]), linear.predict(flow.transform(X[45:])))
    again = clone(svc).fit(X[:45], y[:45])
    assert np.array_equal(again.predict(X), svc.predict(X))
    assert np.array_equal(pickle.loads(pickle.dumps(svc)).predict(X), svc.predict(X))


def test_partial_least_squares_basis(data):
    from sklearn.cross_decomposition import PLSRegression

    X, y, sample_domain = data
    flow = GeodesicFlowKernel(3, source_basis="pls").fit(X, y, sample_domain=sample_domain)
    weights = PLSRegression(3, scale=False).fit(X[:45], np.eye(3)[y[:45]]).x_weights_
    assert np.allclose(linalg.subspace_angles(flow.source_basis_, weights), 0, atol=1e-7)
    assert np.allclose(flow.source_basis_.T @ flow.source_basis_, np.eye(3))
    # more directions than classes
    assert pls_basis(X[:45], y[:45], 6).shape == (12, 6)
    with pytest.raises(ValueError, match="y to be passed"):
        GeodesicFlowKernel(3, source_basis="pls").fit(X, sample_domain=sample_domain)
    with pytest.raises(ValueError, match="two classes or more"):
        GeodesicFlowKernel(3, source_basis="pls").fit(
            X, np.zeros(90, int), sample_domain=sample_domain
        )


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (20, 20)])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_principal_directions(shape, make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) * np.logspace(0, -2, shape[1]) + 5
    X[rng.uniform(size=shape) < 0.4] = 0
    basis = pca_basis(make(X), 5)
    expected = PCA(5, svd_solver="full").fit(X).components_
    assert np.allclose(basis.T @ basis, np.eye(5), atol=1e-12)
    assert np.allclose(np.abs(np.sum(expected.T * basis, axis=0)), 1, atol=1e-9)


def test_principal_directions_stop_at_the_rank():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 20))
    for rows in (X, sparse.csr_array(X), X[:10], np.repeat(X, 3, axis=0)):
        assert pca_basis(rows, 10).shape == (20, 3)
    assert pca_basis(np.full((10, 4), 1 / 3), 2).shape == (4, 0)
    assert pca_basis(np.full((10, 4), 1e9), 2).shape == (4, 0)


def test_disagreement_by_its_definition(data):
    X, _, _ = data
    source, target, both = (pca_basis(rows, 6) for rows in (X[:45], X[45:], X))
    curve = subspace_disagreement(source, target, both)
    for d in range(1, 7):
        angles = [linalg.subspace_angles(b[:, :d], both[:, :d])[0] for b in (source, target)]
        assert np.isclose(curve[d - 1], np.mean(np.sin(angles)))
    assert len(subspace_disagreement(source, target, both, 2)) == 2


def test_automatic_dimension_is_the_first_full_disagreement(data):
    X, _, sample_domain = data
    flow = GeodesicFlowKernel(disagreement_tol=0.3).fit(X, sample_domain=sample_domain)
    full = np.flatnonzero(flow.disagreement_ >= 0.7)
    assert flow.n_components_ == (full[0] + 1 if full.size else 6)
    # domains that agree never get there: as many directions as allowed
    same = np.concatenate([X[:45], X[:45]])
    flow = GeodesicFlowKernel().fit(same, sample_domain=sample_domain)
    assert flow.n_components_ == 6
    assert (
        GeodesicFlowKernel(max_components=2).fit(same, sample_domain=sample_domain).n_components_
        == 2
    )


def test_sparse_rows_give_the_same(data):
    X, _, sample_domain = data
    X = np.where(X > 0.5, X, 0)
    dense = GeodesicFlowKernel(3).fit(X, sample_domain=sample_domain)
    thin = GeodesicFlowKernel(3).fit(sparse.csr_array(X), sample_domain=sample_domain)
    assert np.allclose(dense.kernel(X), thin.kernel(sparse.csr_array(X)))
    assert isinstance(thin.transform(sparse.csr_array(X)), np.ndarray)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(data, dtype):
    X, _, sample_domain = data
    flow = GeodesicFlowKernel(3).fit(X.astype(dtype), sample_domain=sample_domain)
    assert flow.transform(X.astype(dtype)).dtype == dtype
    exact = GeodesicFlowKernel(3).fit(X, sample_domain=sample_domain)
    assert np.allclose(flow.kernel(X.astype(dtype)), exact.kernel(X), rtol=1e-3, atol=1e-3)


def test_several_sources_and_targets_are_pooled(data):
    X, _, sample_domain = data
    several = sample_domain * np.tile([1, 2, 3], 30)
    one = GeodesicFlowKernel(3).fit(X, sample_domain=sample_domain)
    many = GeodesicFlowKernel(3).fit(X, sample_domain=several)
    assert np.allclose(one.kernel(X), many.kernel(X))
    assert np.array_equal(many.transform(X), many.transform(X, sample_domain=several))


@pytest.mark.parametrize(
    ("params", "change", "words"),
    [
        ({"n_components": 7}, None, r"n_components=7 is more than half the 12 features.*<= 6"),
        ({"n_components": 3}, "few target", r"the 3 target rows vary in 2 directions.*<= 2"),
        (
            {"n_components": 3},
            "constant",
            "the 45 source rows do not vary: all features are constant",
        ),
        ({}, "constant", "do not vary: all features are constant in the source domain"),
        ({"n_components": 4}, "copies", r"45 target rows vary in 3 directions only"),
        ({"n_components": 0}, None, "n_components"),
        ({"n_components": 1.5}, None, "n_components"),
        ({"source_basis": "lda"}, None, "source_basis"),
    ],
)
def test_errors_say_what_to_do(data, params, change, words):
    X, _, sample_domain = data
    if change == "few target":
        X, sample_domain = X[:48], sample_domain[:48]
    elif change == "constant":
        X[:45] = 0.1
    elif change == "copies":
        X[45:] = X[np.tile([45, 46, 47, 48], 12)[:45]]
    with pytest.raises(ValueError, match=words):
        GeodesicFlowKernel(**params).fit(X, sample_domain=sample_domain)


def test_constant_features_are_harmless_while_others_vary(data):
    X, _, sample_domain = data
    wide = np.concatenate([X, np.ones((90, 5))], axis=1)
    flow = GeodesicFlowKernel(4).fit(wide, sample_domain=sample_domain)
    plain = GeodesicFlowKernel(4).fit(X, sample_domain=sample_domain)
    assert np.allclose(flow.kernel(wide), plain.kernel(X))


def test_function_errors():
    with pytest.raises(ValueError, match="Transpose it"):
        geodesic_flow_kernel(np.eye(4), source_basis=np.ones((1, 4)), target_basis=np.ones((4, 1)))
    with pytest.raises(ValueError, match="linearly dependent"):
        geodesic_flow_kernel(np.eye(4), source_basis=np.ones((4, 2)), target_basis=np.eye(4)[:, :2])
    with pytest.raises(ValueError, match="same shape"):
        geodesic_flow_kernel(
            np.eye(4), source_basis=np.eye(4)[:, :1], target_basis=np.eye(4)[:, :2]
        )
    with pytest.raises(ValueError, match="X has 3 features, the subspaces 4"):
        geodesic_flow_kernel(
            np.eye(3), source_basis=np.eye(4)[:, :1], target_basis=np.eye(4)[:, :1]
        )


@pytest.mark.slow
def test_no_square_matrix_of_features_anywhere():
    """4096 features: a square matrix of them would take 128 MiB."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4096))
    sample_domain = np.repeat([1, -2], 60)
    tracemalloc.start()
    flow = GeodesicFlowKernel(20).fit(X, sample_domain=sample_domain)
    flow.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20


def test_names_and_frames(data):
    pandas = pytest.importorskip("pandas")
    X, _, sample_domain = data
    flow = GeodesicFlowKernel(2).set_output(transform="pandas")
    out = flow.fit_transform(pandas.DataFrame(X).rename(columns=str), sample_domain=sample_domain)
    assert out.columns.tolist() == [f"geodesicflowkernel{i}" for i in range(4)]
