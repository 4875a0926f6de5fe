"""Features of deep convolutional networks as scikit-learn transformers.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn_decaf import DeCAFTransformer
>>> classifier = make_pipeline(DeCAFTransformer(), LogisticRegression())
"""

from importlib import import_module as _import_module

__version__ = "0.1.0.dev0"

# Where the public names live. They are imported when first used, so that importing the package,
# for its version or a single module, stays cheap.
_HOMES = {
    "ActivationCache": "transformers",
    "ActivationDropout": "transformers",
    "BoundingBoxCropper": "images._bounding_boxes",
    "DeCAFTransformer": "transformers",
    "extract": "_extraction.to_files",
    "show_versions": "_show_versions",
}

__all__ = [
    "ActivationCache",
    "ActivationDropout",
    "BoundingBoxCropper",
    "DeCAFTransformer",
    "adaptation",
    "datasets",
    "descriptors",
    "exceptions",
    "extract",
    "images",
    "inspection",
    "metrics",
    "model_selection",
    "networks",
    "show_versions",
    "training",
    "transformers",
]

_MODULES = tuple(name for name in __all__ if name not in _HOMES)

TYPE_CHECKING = False  # type checkers take it for typing's, which would have to be imported
if TYPE_CHECKING:
    from . import (
        adaptation,
        datasets,
        descriptors,
        exceptions,
        images,
        inspection,
        metrics,
        model_selection,
        networks,
        training,
        transformers,
    )
    from ._extraction.to_files import extract
    from ._show_versions import show_versions
    from .images._bounding_boxes import BoundingBoxCropper
    from .transformers import ActivationCache, ActivationDropout, DeCAFTransformer
else:

    def __getattr__(name):
        if name in _HOMES:
            return getattr(_import_module(f".{_HOMES[name]}", __name__), name)
        if name in _MODULES:
            return _import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
