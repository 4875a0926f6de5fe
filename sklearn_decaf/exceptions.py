"""Errors and warnings of the package.

Errors about inputs are `ValueError`s, as scikit-learn's conventions want it. Their own names tell a
bad photograph or a bad weight file from other mistakes. A download that fails raises an `OSError`,
as scikit-learn's fetchers do.
"""


class ImageError(ValueError):
    """Error of an input that should be an image and cannot be read as one."""


class ImageAccessError(ImageError, OSError):
    """An image's file cannot be opened or read: missing, not permitted, its disk is gone.

    That says nothing about the image, which may be there again later.
    """


class WeightsError(ValueError):
    """Error of weights that cannot be found or read, or lack what is asked of them."""


class DownloadError(OSError):
    """Error of a file that cannot be downloaded, or is not the expected one."""


class ArchiveError(ValueError):
    """Error of a data set's archive that is damaged, unsafe, or not the published one."""


class KernelError(RuntimeError):
    """Error of kernels in use that are not those asked for, so that rows would differ.

    A transformer that was pickled in a process with ``SKLEARN_DECAF_KERNELS`` set asks for these
    kernels wherever it is loaded.
    """


class KernelWarning(UserWarning):
    """Warning that compiled kernels are missing, or others than where a transformer was fitted.

    Without any, networks run on NumPy, which is slow.
    """


class ImageWarning(UserWarning):
    """Warning that images could not be read, or were read as opaque (see `read_image`)."""


class CacheWarning(UserWarning):
    """Warning that the activation cache cannot be used or written to, so features are not kept."""
