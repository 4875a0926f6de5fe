"""Links from the HTML representation of an estimator to its documentation.

scikit-learn fills the name of the class into `_doc_link_template`, and shows no link where that
gives an empty string. No documentation is published at a fixed address, so there is a link only if
the environment variable ``SKLEARN_DECAF_DOC_URL`` names the folder of the built documentation when
the package is imported, such as ``https://docs.example.org/decaf`` or
``file:///home/me/decaf/html``.
"""

import os


def doc_link_template(module: str = "sklearn_decaf") -> str:
    """Make the template of the links for the estimators that are public in `module`."""
    url = os.environ.get("SKLEARN_DECAF_DOC_URL", "").rstrip("/")
    if not url:
        return ""
    url = url.replace("{", "{{").replace("}", "}}")
    return f"{url}/generated/{module}.{{estimator_name}}.html"


DOC_LINK_TEMPLATE = doc_link_template()
