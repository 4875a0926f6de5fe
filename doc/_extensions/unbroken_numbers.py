"""Keep a number and its deviation, ``98.8 ± 0.4``, on one line in narrow tables."""

from docutils import nodes


def _join(app, doctree):
    for entry in doctree.findall(nodes.entry):
        for text in list(entry.findall(nodes.Text)):
            if " ± " in text:
                text.parent.replace(text, nodes.Text(text.replace(" ± ", "\u00a0±\u00a0")))


def setup(app):
    app.connect("doctree-read", _join)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
