"""Passages that the docstrings of the fetchers share."""

from .._utils.docstrings import fill_docstring

_HOME = """\
data_home : str or path-like, default=None
    The folder for downloads. None: see :func:`~sklearn_decaf.datasets.get_data_home`.
"""

_INCOMPLETE = """\
allow_incomplete : bool, default=False
    Whether a copy of your own may have fewer classes or images than were published. Missing
    images are left out, also of published splits.
"""

_DOWNLOADS = """\
download_if_missing : bool, default=True
    If False, raise an error instead of downloading.

n_retries : int, default=3
    How often a download that fails is tried again.

delay : float, default=1.0
    Seconds before the first retry; twice as long before each further one.
"""

_ERRORS = """\
FileNotFoundError
    If there is no copy and none may be downloaded, or `local` is not one.
DownloadError
    If the download fails.
FileExistsError
    If the folder that the data set should get in `data_home` is there and holds something else.
ValueError
    If a parameter has a value that is not listed above, or a copy is not complete.
ArchiveError
    If an archive is damaged, or is not the published one. It is a ValueError too.
"""

# Decorators: a docstring has a line ``%(name)s`` for each of these passages.
fetcher = fill_docstring(
    data_home=_HOME, allow_incomplete=_INCOMPLETE, downloads=_DOWNLOADS, errors=_ERRORS
)
file_fetcher = fill_docstring(downloads=_DOWNLOADS)
