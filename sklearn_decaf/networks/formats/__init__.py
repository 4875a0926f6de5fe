"""Readers of weight files, one format a module.

Each reader turns bytes into named arrays and knows nothing of networks. None of them ever runs
what a file says, and none uses more memory than a small multiple of the file's size, or of what
the members of a zip archive unpack to: at most 100 times its size, and 1 GiB. What is wrong with a
file is always said by :class:`~sklearn_decaf.exceptions.WeightsError`.
"""

from ._contents import Contents, FileLayer
from ._file import TensorFile, map_weight_file, read_tensors

__all__ = [
    "Contents",
    "FileLayer",
    "TensorFile",
    "map_weight_file",
    "read_tensors",
]
