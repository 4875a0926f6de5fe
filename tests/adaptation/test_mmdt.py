"""Max-margin domain transforms against straightforward solutions of both steps."""

import warnings

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from sklearn_decaf._adaptation.squared_hinge import AffineRows, StackedRows, minimise
from sklearn_decaf.adaptation import MMDTClassifier


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    y = np.tile([0, 1, 2], 14)
    sample_domain = np.repeat([1, -2], [24, 18])
    X = rng.normal(size=(42, 4)) + 1.5 * np.eye(4)[y]
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    X[24:] = X[24:] @ turn + 0.5
    return X, y, sample_domain


def ones(X):
    return np.concatenate([X, np.ones((len(X), 1))], axis=1)


def signs(y):
    return np.where(y[:, None] == np.unique(y), 1.0, -1.0)


def svm_objective(W, rows, Y, cost):
    slack = np.maximum(0, 1 - Y * (rows @ W.T))
    return 0.5 * np.sum(W**2) + np.sum(cost[:, None] * slack**2)


def transform_objective(A, W, rows, Y, cost):
    slack = np.maximum(0, 1 - Y * (rows @ A @ W.T))
    return 0.5 * np.sum((A - np.eye(len(A))) ** 2) + cost * np.sum(slack**2)


def by_scipy(objective, shape, start):
    found = optimize.minimize(
        lambda v: objective(v.reshape(shape)), start.ravel(), method="BFGS",
        options={"gtol": 1e-7, "maxiter": 2000},
    )  # fmt: skip
    return found.x.reshape(shape), found.fun


def dual_by_quadratic_program(W, rows, Y, cost):
    """The transform step as the dense dual over all pairs of a class and a target row.

    max over multipliers m >= 0 of  sum m (1 - y w'x) - 1/2 m'Hm - m'm / (4 cost), with
    H the products of y * (w outer x): A = I + sum m y x outer w.
    """
    k, n = len(W), len(rows)
    signed = (Y.T[:, :, None, None] * W[:, None, None, :] * rows[None, :, :, None]).reshape(
        k * n, -1
    )
    margin = (1 - Y * (rows @ W.T)).T.ravel()
    H = signed @ signed.T + np.eye(k * n) / (2 * cost)
    found = optimize.minimize(
        lambda m: 0.5 * m @ H @ m - margin @ m,
        np.zeros(k * n),
        jac=lambda m: H @ m - margin,
        bounds=[(0, None)] * (k * n),
        method="L-BFGS-B",
        options={"maxiter": 20000, "ftol": 1e-15, "gtol": 1e-10, "maxfun": 10**6},
    )
    A = np.eye(rows.shape[1]) + (found.x @ signed).reshape(rows.shape[1], -1)
    return A, -found.fun


def test_svm_step_is_the_weighted_support_vector_machine(data):
    X, y, sample_domain = data
    cost = np.where(sample_domain > 0, 0.05, 1.0)
    rows = StackedRows((AffineRows(X[:24]), AffineRows(X[24:])))
    W, F, objective = minimise(rows, signs(y), cost[:, None])
    svm = LinearSVC(C=1.0, fit_intercept=False, dual=False, tol=1e-10, max_iter=100000)
    svm.fit(ones(X), y, sample_weight=cost)
    assert np.allclose(W, svm.coef_, atol=1e-5)
    assert np.isclose(objective, svm_objective(W, ones(X), signs(y), cost))
    assert objective <= svm_objective(svm.coef_, ones(X), signs(y), cost) + 1e-9
    assert np.allclose(F, ones(X) @ W.T)


@pytest.mark.slow
@pytest.mark.parametrize("cost", [5e-4, 0.02, 1.0, 50.0])
def test_transform_step_is_the_optimum_of_its_quadratic_program(data, cost):
    X, y, sample_domain = data
    mmdt = MMDTClassifier(0.5, 1.0, cost, transform_loss="linear", max_iter=1)
    mmdt.fit(X, y, sample_domain=sample_domain)
    W = np.column_stack([mmdt.source_coef_, mmdt.source_intercept_])
    target, Y = ones(X[24:]), signs(y)[24:]
    A, dual = dual_by_quadratic_program(W, target, Y, cost)
    assert np.allclose(mmdt.transform_matrix_, A, atol=2e-4)
    primal = transform_objective(mmdt.transform_matrix_, W, target, Y, cost)
    assert np.isclose(mmdt.objective_[0, 1], primal)
    assert np.isclose(primal, dual, rtol=1e-6)  # no gap: this is the optimum
    _, direct = by_scipy(lambda A: transform_objective(A, W, target, Y, cost), A.shape, np.eye(5))
    assert primal <= direct + 1e-6


def test_cosine_step_scales_the_loss_and_not_the_map(data):
    X, y, sample_domain = data
    cost = 0.3
    mmdt = MMDTClassifier(0.5, 1.0, cost, max_iter=1).fit(X, y, sample_domain=sample_domain)
    W = np.column_stack([mmdt.source_coef_, mmdt.source_intercept_])
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    target, Y = ones(X[24:]), signs(y)[24:]
    short = target / np.linalg.norm(target, axis=1, keepdims=True)
    A, _ = dual_by_quadratic_program(unit, short, Y, cost)
    multipliers = 2 * cost * Y * np.maximum(0, 1 - Y * (short @ A @ unit.T))
    expected = np.eye(5) + target.T @ multipliers @ W
    assert np.allclose(mmdt.transform_matrix_, expected, atol=1e-4)


@pytest.mark.parametrize("loss", ["cosine", "linear"])
def test_alternation_step_by_step(data, loss):
    """Two rounds with the mapped rows written out, as in the paper's algorithm."""
    X, y, sample_domain = data
    cost = np.where(sample_domain > 0, 0.2, 1.0)
    mmdt = MMDTClassifier(0.2, 1.0, 0.1, transform_loss=loss, max_iter=2)
    mmdt.fit(X, y, sample_domain=sample_domain)
    once = MMDTClassifier(0.2, 1.0, 0.1, transform_loss=loss, max_iter=1)
    A = once.fit(X, y, sample_domain=sample_domain).transform_matrix_
    rows = np.concatenate([ones(X[:24]), ones(X[24:]) @ A])
    W, objective = by_scipy(
        lambda W: svm_objective(W, rows, signs(y), cost), (3, 5), np.zeros((3, 5))
    )
    assert np.isclose(mmdt.objective_[1, 0], objective, rtol=1e-6)
    assert np.allclose(np.column_stack([mmdt.source_coef_, mmdt.source_intercept_]), W, atol=1e-4)
    effective = np.column_stack([mmdt.coef_, mmdt.intercept_])
    assert np.allclose(effective, W @ mmdt.transform_matrix_.T, atol=1e-3)
    assert np.allclose(mmdt.decision_function(X), ones(X) @ mmdt.transform_matrix_ @ W.T, atol=1e-3)
    assert np.array_equal(mmdt.predict(X), mmdt.decision_function(X).argmax(axis=1))


def test_joint_objective_of_the_paper_decreases(data):
    X, y, sample_domain = data
    cost = np.where(sample_domain > 0, 0.05, 1.0)
    values = []
    for rounds in range(1, 8):
        mmdt = MMDTClassifier(0.05, 1.0, 1.0, transform_loss="linear", max_iter=rounds)
        mmdt.fit(X, y, sample_domain=sample_domain)
        W, A = np.column_stack([mmdt.source_coef_, mmdt.source_intercept_]), mmdt.transform_matrix_
        rows = np.concatenate([ones(X[:24]), ones(X[24:]) @ A])
        values.append(svm_objective(W, rows, signs(y), cost) + 0.5 * np.sum((A - np.eye(5)) ** 2))
    assert np.all(np.diff(values) <= 1e-8)
    assert values[0] - values[-1] > 1e-3


def test_convergence_is_reported(data):
    X, y, sample_domain = data
    params = {"C_transform": 1.0, "transform_loss": "linear"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mmdt = MMDTClassifier(**params).fit(X, y, sample_domain=sample_domain)
        assert (mmdt.n_iter_, mmdt.converged_) == (2, False)
        assert mmdt.objective_.shape == (2, 2) and mmdt.change_.shape == (2,)
        mmdt = MMDTClassifier(**params, max_iter=500, tol=1e-3).fit(
            X, y, sample_domain=sample_domain
        )
        assert mmdt.converged_ and mmdt.change_[-1] <= 1e-3 and mmdt.n_iter_ < 500
    with pytest.warns(ConvergenceWarning, match="stopped after max_iter=2 rounds"):
        MMDTClassifier(**params, tol=1e-9).fit(X, y, sample_domain=sample_domain)


def test_two_classes(data):
    X, y, sample_domain = (values[data[1] != 2] for values in data)
    y = np.where(y == 1, "yes", "no")
    mmdt = MMDTClassifier(1.0, 1.0).fit(X, y, sample_domain=sample_domain)
    assert mmdt.coef_.shape == (1, 4)
    assert mmdt.decision_function(X).shape == (28,)
    assert np.array_equal(mmdt.predict(X) == "yes", mmdt.decision_function(X) > 0)
    assert mmdt.score(X, y, sample_domain=sample_domain) > 0.7


def test_source_rows_are_not_mapped(data):
    X, y, sample_domain = data
    mmdt = MMDTClassifier(C_transform=0.1).fit(X, y, sample_domain=sample_domain)
    scores = mmdt.decision_function(X, sample_domain=sample_domain)
    assert np.allclose(scores[:24], X[:24] @ mmdt.source_coef_.T + mmdt.source_intercept_)
    assert np.allclose(scores[24:], mmdt.decision_function(X)[24:])
    assert np.allclose(mmdt.map_target(X[24:]), (ones(X[24:]) @ mmdt.transform_matrix_)[:, :-1])


def test_classes_without_labelled_target_rows(data):
    X, y, sample_domain = data
    masked = np.where((sample_domain < 0) & (y == 2), -1, y)
    mmdt = MMDTClassifier(1.0, 1.0, 0.1).fit(X, masked, sample_domain=sample_domain)
    assert mmdt.classes_.tolist() == [0, 1, 2]
    only_target = np.where((sample_domain > 0) & (y == 2), -1, y)
    mmdt.fit(X, only_target, sample_domain=sample_domain)
    assert (mmdt.predict(X[24:]) == 2).any()


def test_unlabelled_rows_count_for_the_projection_only(data):
    X, y, sample_domain = data
    labelled = y.copy()
    labelled[36:] = -1
    seen = labelled != -1
    plain = MMDTClassifier().fit(X, labelled, sample_domain=sample_domain)
    fewer = MMDTClassifier().fit(X[seen], y[seen], sample_domain=sample_domain[seen])
    assert np.allclose(plain.coef_, fewer.coef_)
    projected = MMDTClassifier(n_components=2).fit(X, labelled, sample_domain=sample_domain)
    from sklearn.decomposition import PCA

    P = PCA(2).fit(X).components_
    by_hand = MMDTClassifier().fit(X[seen] @ P.T, y[seen], sample_domain=sample_domain[seen])
    assert np.allclose(
        projected.decision_function(X), by_hand.decision_function(X @ P.T), atol=1e-6
    )
    assert projected.coef_.shape == (3, 4)
    assert projected.map_target(X).shape == (42, 2)


def test_all_directions_only_turn_the_features(data):
    X, y, sample_domain = data
    plain = MMDTClassifier().fit(X, y, sample_domain=sample_domain)
    turned = MMDTClassifier(n_components=4).fit(X, y, sample_domain=sample_domain)
    assert np.allclose(plain.decision_function(X), turned.decision_function(X), atol=1e-5)


def test_sparse_rows_give_the_same(data):
    X, y, sample_domain = data
    X = np.where(np.abs(X) > 0.5, X, 0)
    for params in ({}, {"n_components": 2}):
        dense = MMDTClassifier(**params).fit(X, y, sample_domain=sample_domain)
        thin = MMDTClassifier(**params).fit(sparse.csr_array(X), y, sample_domain=sample_domain)
        assert np.allclose(dense.coef_, thin.coef_, atol=1e-6)
        assert np.allclose(dense.predict(X), thin.predict(sparse.csr_matrix(X)))
        assert np.allclose(dense.map_target(X), thin.map_target(sparse.csr_matrix(X)), atol=1e-6)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_components": 5}, "n_components=5 is more than the 4 features"),
        ({"C_source": 0}, "C_source"),
        ({"C_transform": -1}, "C_transform"),
        ({"transform_loss": "hinge"}, "transform_loss"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_parameter_errors(data, params, words):
    X, y, sample_domain = data
    with pytest.raises(ValueError, match=words):
        MMDTClassifier(**params).fit(X, y, sample_domain=sample_domain)


def test_data_errors(data):
    X, y, sample_domain = data
    flat = X.copy()
    flat[:, 2:] = 0
    with pytest.raises(ValueError, match=r"42 rows vary in 2 directions only.*<= 2"):
        MMDTClassifier(n_components=3).fit(flat, y, sample_domain=sample_domain)
    with pytest.raises(ValueError, match="one class, 0"):
        MMDTClassifier().fit(X, np.zeros(42, int), sample_domain=sample_domain)
    weight = np.where(sample_domain > 0, 1.0, 0.0)
    with pytest.raises(ValueError, match="labelled target rows"):
        MMDTClassifier().fit(X, y, sample_domain=sample_domain, sample_weight=weight)


def test_scale_of_features_does_not_break_the_solver():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    X = (rng.normal(size=(40, 6)) + y[:, None]) * np.logspace(-3, 3, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mmdt = MMDTClassifier().fit(X, y, sample_domain=np.repeat([1, -2], 20))
    assert np.isfinite(mmdt.coef_).all()


def test_constant_and_zero_features(data):
    X, y, sample_domain = data
    wide = np.concatenate([X, np.zeros((42, 2)), np.full((42, 1), 3.0)], axis=1)
    mmdt = MMDTClassifier().fit(wide, y, sample_domain=sample_domain)
    assert np.allclose(mmdt.coef_[:, 4:6], 0)
    empty = MMDTClassifier().fit(np.zeros((42, 2)), y, sample_domain=sample_domain)
    assert np.isfinite(empty.decision_function(np.zeros((1, 2)))).all()


@pytest.mark.slow
def test_single_precision_stays_single_and_agrees():
    """Features of networks are float32: no float64 copy of them is made."""
    import tracemalloc

    rng = np.random.default_rng(0)
    y = np.tile(np.arange(5), 60)
    sample_domain = np.repeat([1, -2], 150)
    X = (rng.normal(size=(300, 2000)) + 3 * rng.normal(size=(5, 2000))[y]).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    tracemalloc.start()
    single = MMDTClassifier().fit(X, y, sample_domain=sample_domain)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * X.nbytes
    double = MMDTClassifier().fit(X.astype(float), y, sample_domain=sample_domain)
    scores = double.decision_function(X)
    assert np.allclose(single.decision_function(X), scores, atol=1e-3 * np.abs(scores).max())
    assert np.allclose(single.objective_, double.objective_, rtol=1e-5)


@pytest.mark.slow
def test_no_square_matrix_of_features():
    """4096 features: the map as a matrix would take 128 MiB."""
    import tracemalloc

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4096)) / 64, np.tile(np.arange(4), 20)
    tracemalloc.start()
    MMDTClassifier().fit(X, y, sample_domain=np.repeat([1, -2], 40))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 2**20
