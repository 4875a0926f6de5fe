"""Plans without compiled kernels: the reference, with the same bits for a row anywhere."""

from __future__ import annotations

import warnings

import pytest
from numpy._core._multiarray_umath import __cpu_features__ as cpu_features
from oracles.processes import run_with_pickle
from oracles.random_networks import assert_close, he_parameters, random_images
from oracles.small_networks import CLASSIFIER, reference_of
from threadpoolctl import threadpool_info

from sklearn_decaf import _kernels
from sklearn_decaf.exceptions import KernelWarning
from sklearn_decaf.networks.engine import Plan

SAME_IMAGE = """
import pickle, sys
import numpy as np
from sklearn_decaf.networks.engine import Plan

architecture, parameters, images = pickle.load(sys.stdin.buffer)
outputs = Plan(architecture, parameters, architecture.layer_names).run(np.repeat(images, 37, 0))
different = [name for name, values in zip(architecture.layer_names, outputs)
             if not (values == values[0]).all()]
assert not different, different
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not any(pool["internal_api"] == "openblas" for pool in threadpool_info()),
    reason="NumPy's BLAS is not OpenBLAS, which has a kernel to choose",
)
@pytest.mark.parametrize(
    ("blas_kernel", "feature"),
    [
        ("Prescott", "SSE3"),
        ("Nehalem", "SSE42"),
        ("Haswell", "AVX2"),
        ("ARMV8", "ASIMD"),
        ("NEOVERSEN1", "ASIMDDP"),
        ("NEOVERSEV1", "SVE"),
    ],
)
def test_a_row_has_the_same_bits_anywhere_whatever_the_blas_kernel(blas_kernel, feature, tmp_path):
    """OpenBLAS's AVX2 kernel, for one, adds up some rows of a product in another order."""
    if not cpu_features.get(feature):
        pytest.skip(f"this CPU has no {feature}")
    given = CLASSIFIER, he_parameters(CLASSIFIER), random_images(CLASSIFIER, 1)
    environment = {"OPENBLAS_CORETYPE": blas_kernel, _kernels.OVERRIDE_VARIABLE: "none"}
    run_with_pickle(SAME_IMAGE, given, tmp_path, **environment)


def test_without_kernels_the_reference_runs_and_one_warning_says_so(monkeypatch):
    architecture = CLASSIFIER
    parameters, images, expected = reference_of(architecture)
    monkeypatch.setattr(_kernels, "KERNEL_SET", None)
    monkeypatch.setattr(_kernels, "_warned", False)
    monkeypatch.delenv(_kernels.OVERRIDE_VARIABLE, raising=False)
    with pytest.warns(KernelWarning, match="runs its networks on NumPy") as caught:
        plans = [Plan(architecture, parameters, architecture.layer_names) for _ in range(2)]
    assert len(caught) == 1
    assert_close(
        architecture, dict(zip(architecture.layer_names, plans[0].run(images))), expected, 1e-5
    )
    monkeypatch.setattr(_kernels, "_warned", False)
    monkeypatch.setenv(_kernels.OVERRIDE_VARIABLE, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Plan(architecture, parameters, architecture.layer_names)
