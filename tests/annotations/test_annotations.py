"""Public functions and methods say the types of all they take and return.

mypy checks what is annotated and passes over what is not; here nothing may be left out. Whether
a user's code type-checks against it is in `user_script.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

import pytest

import sklearn_decaf

MODULES = ["sklearn_decaf", *(f"sklearn_decaf.{name}" for name in sklearn_decaf._MODULES)]
MODULES += [
    f"sklearn_decaf.networks.{name}"
    for name in ("engine", "flops", "gradients", "layers", "weights")
]
SPECIAL = ("__init__", "__call__", "__getitem__", "__iter__", "__len__")


def public_functions(module) -> Iterator[tuple[str, object, bool]]:
    """Name, function, and whether its first argument is the object or class."""
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        if inspect.isclass(value):
            own = [c for c in value.__mro__ if c.__module__.startswith("sklearn_decaf.")]
            for i, owner in enumerate(own):
                inherited = {key for base in own[i + 1 :] for key in vars(base)}
                for method in methods(owner):
                    # what overrides a method of ours is known from there
                    if method[0].partition(".")[2] not in inherited - {"__init__"}:
                        yield method
        elif inspect.isfunction(value) and value.__module__.startswith("sklearn_decaf."):
            yield name, value, False


def methods(owner: type) -> Iterator[tuple[str, object, bool]]:
    for name, value in vars(owner).items():
        if name.startswith("_") and name not in SPECIAL:
            continue
        # a property, a class method, scikit-learn's available_if, or a function
        function = getattr(value, "fget", None) or getattr(value, "__func__", None)
        function = function or getattr(value, "fn", value)
        if inspect.isfunction(function):
            yield f"{owner.__name__}.{name}", function, not isinstance(value, staticmethod)


def missing_annotations(function, is_method: bool) -> list[str]:
    signature = inspect.signature(inspect.unwrap(function))
    parameters = list(signature.parameters.values())[int(is_method) :]
    missing = [p.name for p in parameters if p.annotation is p.empty]
    returns = function.__name__ == "__init__" or signature.return_annotation is not signature.empty
    return missing if returns else [*missing, "return"]


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_are_annotated(name):
    found = list(public_functions(import_module(name)))
    assert found or name in ("sklearn_decaf.exceptions", "sklearn_decaf.metrics")
    missing = {
        function_name: names
        for function_name, function, is_method in found
        if (names := missing_annotations(function, is_method))
    }
    assert not missing


def test_type_checkers_see_all_public_names():
    """What `__getattr__` gives at run time is imported by name for type checkers."""
    source = inspect.getsource(sklearn_decaf)
    imports = source.partition("if TYPE_CHECKING:")[2].partition("else:")[0]
    seen = {name.strip(" ,\n()") for line in imports.splitlines() for name in line.split()}
    assert set(sklearn_decaf.__all__) <= seen
    assert set(sklearn_decaf.__all__) == {*sklearn_decaf._HOMES, *sklearn_decaf._MODULES}


def test_missing_annotations_are_found():
    def plain(a: int, b, *args, **kwargs: int): ...

    assert missing_annotations(plain, is_method=False) == ["b", "args", "return"]
    assert missing_annotations(plain, is_method=True) == ["b", "args", "return"]
    assert "predict_proba" in {
        name.partition(".")[2]
        for name, _, _ in methods(sklearn_decaf.adaptation.DomainSubsetClassifier)
    }
