"""The package's own errors and warnings.

The errors about inputs are `ValueError`s, so code written for scikit-learn's conventions keeps
working; their own names let a caller tell a bad photograph or a bad weight file from any other
mistake. A download that fails is an `OSError`, as scikit-learn's fetchers raise.
"""


class ImageError(ValueError):
    """An input that should be an image cannot be read as one."""


class WeightsError(ValueError):
    """A weight file cannot be found, is not what it should be, or lacks what was asked of it."""


class DownloadError(OSError):
    """A file cannot be downloaded, or what was downloaded is not what it should be."""


class ArchiveError(ValueError):
    """An archive of a data set is damaged, holds what it must not, or is not the published one."""


class KernelWarning(UserWarning):
    """The compiled kernels are missing, so the slow NumPy path is in use."""


class ImageWarning(UserWarning):
    """Some images could not be read and became rows of NaN (``on_error="nan"``)."""


class CacheWarning(UserWarning):
    """The cache of activations cannot be used or written to, so features are computed again."""
