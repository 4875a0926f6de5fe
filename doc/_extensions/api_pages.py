"""Write the API reference from the package's public names, before autosummary reads it.

Whatever a module lists in ``__all__`` gets a page, so that nothing public can be missing. Each
module has a page with its own docstring as the introduction.
"""

import inspect
from importlib import import_module
from pathlib import Path

import sklearn_decaf

# in this order; public modules that are not listed follow
ORDER = (
    *("datasets", "adaptation", "model_selection", "metrics", "inspection", "descriptors"),
    *("training", "images", "networks", "exceptions"),
)
# everything public in it is public one level higher
LEFT_OUT = {"transformers"}


def public_names(module):
    """Names of a module that are documented, submodules left out."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def module_page(module, title):
    """The page of a module: introduction, table of classes and functions, constants."""
    pages, constants = [], []
    for name in public_names(module):
        value = getattr(module, name)
        has_page = inspect.isclass(value) or inspect.isroutine(value)
        (pages if has_page else constants).append(name)
    lines = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    if pages:
        lines += [".. autosummary::", "   :toctree: ../generated/", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in pages] + [""]
    if constants:
        lines += ["Constants", "---------", ""]
    for name in constants:
        lines += [f".. autodata:: {name}", "   :no-value:", ""]
    return lines


def write(app, config):
    """Write ``api/index.rst`` and a page for each module, where they changed."""
    folder = Path(app.srcdir, "api")
    folder.mkdir(exist_ok=True)
    modules = [name for name in ORDER if name in sklearn_decaf._MODULES]
    modules += [name for name in sklearn_decaf._MODULES if name not in {*modules, *LEFT_OUT}]
    titles = ["sklearn_decaf", *(f"sklearn_decaf.{name}" for name in modules)]
    index = ["API reference", "=============", ""]
    index += ["The public names, module by module. Everything else may change without notice.", ""]
    index += [".. toctree::", "   :hidden:", "", *(f"   {title}" for title in titles), ""]
    for title in titles:
        module = import_module(title)
        write_if_changed(folder / f"{title}.rst", module_page(module, title))
        first = inspect.getdoc(module).partition("\n\n")[0].replace("\n", " ")
        index += [f":doc:`{title}`", f"    {first}", ""]
    write_if_changed(folder / "index.rst", index)


def write_if_changed(path, lines):
    """Write lines to a file, and leave it alone where it has them already."""
    text = "\n".join(lines)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    # earlier than "builder-inited", when the files of a fresh tree are listed already
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
