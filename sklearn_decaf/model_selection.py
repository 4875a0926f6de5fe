"""Splitters for protocols of image classification: k images per class, and two domains.

:class:`PerClassShuffleSplit` is the protocol of Caltech-101 and SUN-397: k training images and up
to m test images per class. :class:`DomainShuffleSplit` is Saenko's protocol for domain adaptation:
train on some labelled source and a few labelled target images per class, test on the other target
images. :class:`PredefinedDomainSplit` has published splits.

The domain splitters take `sample_domain`, which metadata routing passes to them. With routing off,
a search passes `groups` alone, so they take the domain labels by that name too:
``GridSearchCV(..., cv=DomainShuffleSplit()).fit(X, y, groups=sample_domain)``.
"""

from ._model_selection.domain import DomainShuffleSplit, PredefinedDomainSplit
from ._model_selection.per_class import PerClassShuffleSplit

__all__ = ["DomainShuffleSplit", "PerClassShuffleSplit", "PredefinedDomainSplit"]
