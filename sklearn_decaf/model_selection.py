"""Splitters for the protocols of image classification: k images per class, and two domains.

:class:`PerClassShuffleSplit` is the protocol of Caltech-101 and SUN-397, k training images and up
to m test images per class. :class:`DomainShuffleSplit` is Saenko's for domain adaptation: some
labelled source and a few labelled target images per class, tested on the rest of the target.
:class:`PredefinedDomainSplit` replays published splits.

The domain splitters take `sample_domain`, which metadata routing brings to them. With routing off
a search passes `groups` only, so they take the domain labels there too:
``GridSearchCV(..., cv=DomainShuffleSplit()).fit(X, y, groups=sample_domain)``.
"""

from ._model_selection.domain import DomainShuffleSplit, PredefinedDomainSplit
from ._model_selection.per_class import PerClassShuffleSplit

__all__ = ["DomainShuffleSplit", "PerClassShuffleSplit", "PredefinedDomainSplit"]
