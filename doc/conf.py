"""How the documentation is built: ``sphinx-build -W --keep-going doc OUTPUT``.

Nothing is read from the network. Warnings are errors in `.ci/run`, and ``nitpicky`` makes a
warning of every reference that leads nowhere.
"""

import os
import sys
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
# document the installed package: in the source tree beside this folder nothing is compiled
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE.parent]
sys.path.insert(0, str(HERE / "_extensions"))

# diagrams in the sections of the gallery lead to generated/
os.environ["SKLEARN_DECAF_DOC_URL"] = "../.."

project = "sklearn-decaf"
author = "the sklearn-decaf developers"
copyright = "2026, the sklearn-decaf developers (BSD 3-clause licence)"
release = version = installed_version("sklearn-decaf")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "local_links",
    "outside_names",
    "shapes_in_docstrings",
    "unbroken_numbers",
]
exclude_patterns = ["_build", "_templates", "_extensions", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
nitpicky = True
nitpick_ignore_regex = [
    # types in annotations of signatures, which have no page of their own
    (r"py:.*", r"(collections|pathlib|os|typing|numbers|abc|PIL)\..*"),
    (r"py:.*", r"(Mapping|Sequence|Iterable|Iterator|Path|Shape|Layer|Pads|ndarray)"),
    (r"py:.*", r"sklearn_decaf\.(.*\.)?_.*"),
]
default_role = "literal"
add_module_names = False
toc_object_entries = False
python_use_unqualified_type_names = True
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-decaf"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {
    page: []
    for page in ("installation", "user_guide", "more", "paper", "dropout", "engine", "glossary")
}

# The gallery -------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": os.environ.get("SKLEARN_DECAF_DOC_EXAMPLES", r"plot_"),
    "within_subsection_order": "FileNameSortKey",
    "subsection_order": "gallery_settings.section_order",
    "reset_argv": "gallery_settings.arguments",
    "reset_modules": ("matplotlib", "gallery_settings.reset"),
    "doc_module": ("sklearn_decaf",),
    "backreferences_dir": "generated/backreferences",
    "inspect_global_variables": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": "True",
    "abort_on_example_error": False,
    "default_thumb_file": str(HERE / "images" / "quickstart.png"),
}
# Matplotlib says that it cannot show a window, which nobody wants here
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
