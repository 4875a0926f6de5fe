"""Check that every link within the built pages leads to a file and a place in it.

Sphinx checks references in the sources; this also sees what examples, diagrams of estimators and
raw HTML put into the pages.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.errors import ExtensionError


class _Page(HTMLParser):
    """The links of a page, and the places that links can lead to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name"):
                self.places.add(value)
            elif name in ("href", "src") and value and tag != "link":
                self.links.append(value)


def dead_links(folder):
    """``"page: link"`` for each local link in a folder of HTML pages that leads nowhere."""
    pages = {
        path: _Page(path)
        for path in sorted(folder.rglob("*.html"))
        if "_static" not in path.parts  # templates of the theme
    }
    dead = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            place = unquote(parts.fragment).partition(":~:")[0]
            known = pages[target].places if target in pages else {place}
            if not target.exists() or place not in known:
                dead.append(f"{path.relative_to(folder)}: {link}")
    return dead


def _check(app, exception):
    if exception is None and app.builder.format == "html":
        dead = dead_links(Path(app.outdir).resolve())
        if dead:
            raise ExtensionError(f"{len(dead)} links lead nowhere:\n" + "\n".join(dead[:50]))


def setup(app):
    app.connect("build-finished", _check, priority=900)  # when all other files are there
    return {"parallel_read_safe": True, "parallel_write_safe": True}
