"""Every kernel set that this CPU can run."""

import pytest

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import Kernels


@pytest.fixture(scope="module", params=_kernels.available_sets())
def kernels(request):
    return Kernels(request.param)
