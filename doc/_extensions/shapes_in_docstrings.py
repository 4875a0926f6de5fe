"""Escape the underscore at the end of names in shapes, such as ``(n_features_in_,)``.

reStructuredText takes ``word_`` for a link.
"""

import re

_SHAPE = re.compile(r"shape \([^)]*\)")
_NAME = re.compile(r"(?<![\w`])([A-Za-z]\w*)_(?![\w`])")


def _escape(app, what, name, obj, options, lines):
    for i, line in enumerate(lines):
        lines[i] = _SHAPE.sub(lambda match: _NAME.sub(r"\1\\_", match.group()), line)


def setup(app):
    app.connect("autodoc-process-docstring", _escape, priority=100)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
