"""Where the HTML representation of an estimator leads for its documentation."""

DOC_LINK_TEMPLATE = (
    "https://sklearn-decaf.readthedocs.io/en/stable/generated/"
    "{estimator_module}.{estimator_name}.html"
)
