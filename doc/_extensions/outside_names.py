"""Links to scikit-learn, NumPy and scikit-image, by the rules of their sites.

Inventories would have to be downloaded at every build, or kept here and grow stale. The sites
name the page of each public function or class after it.
"""

from docutils import nodes

_SKLEARN = "https://scikit-learn.org/stable"
_PAGES = {
    "sklearn": f"{_SKLEARN}/modules/generated/{{name}}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    "skimage": "https://scikit-image.org/docs/stable/api/{module}.html#{name}",
}
# labels in docstrings of methods that are inherited from scikit-learn
_LABELS = {
    "metadata_routing": ("user guide of scikit-learn", f"{_SKLEARN}/metadata_routing.html"),
    "df_output_transform": (
        "user guide of scikit-learn",
        f"{_SKLEARN}/auto_examples/miscellaneous/plot_set_output.html",
    ),
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
        "example in scikit-learn",
        f"{_SKLEARN}/auto_examples/miscellaneous/plot_set_output.html",
    ),
}
_TERMS = {"meta-estimator"}


def _resolve(app, env, node, contnode):
    target, kind = node["reftarget"], node.get("reftype")
    if node.get("refdomain") == "std":
        if kind == "ref" and target in _LABELS:
            text, url = _LABELS[target]
            return nodes.reference("", text, refuri=url, internal=False)
        if kind == "term" and target in _TERMS:
            return _link(f"{_SKLEARN}/glossary.html#term-{target}", target, contnode)
        return None
    page = _PAGES.get(target.partition(".")[0])
    if node.get("refdomain") != "py" or page is None or "." not in target:
        return None
    owner, _, _ = target.rpartition(".")
    if kind == "meth":
        module, _, _ = owner.rpartition(".")
        return _link(page.format(name=owner, module=module) + f"#{target}", target, contnode)
    if kind == "mod":
        return _link(f"{_SKLEARN}/api/{target}.html", target, contnode)
    return _link(page.format(name=target, module=owner), target, contnode)


def _link(url, title, contnode):
    return nodes.reference("", "", contnode, refuri=url, internal=False, reftitle=title)


def setup(app):
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
