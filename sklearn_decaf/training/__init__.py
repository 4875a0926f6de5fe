"""Networks that learn: trained from the beginning, or further, as scikit-learn estimators.

:class:`ConvNetClassifier` and :class:`ConvNetRegressor` train a convolutional network on images of
any kind, or on rows of numbers. :class:`FineTunedClassifier` trains the last layers of a known
network further. :class:`Mirror` and the other kinds of :class:`Augmentation` change images a little
each time they are learned from.
"""

from ._augmentation import Augmentation, ColourShift, Mirror, RandomCrop, RandomResizedCrop
from ._classifier import ConvNetClassifier
from ._fine_tuned import FineTunedClassifier
from ._regressor import ConvNetRegressor

__all__ = [
    "Augmentation",
    "ColourShift",
    "ConvNetClassifier",
    "ConvNetRegressor",
    "FineTunedClassifier",
    "Mirror",
    "RandomCrop",
    "RandomResizedCrop",
]
