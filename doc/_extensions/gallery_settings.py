"""What the gallery needs as functions: the order of the sections, arguments, a clean start."""

import os
import tempfile

SECTIONS = ["classification", "adaptation", "training", "exploration", "inspection"]


def section_order(folder):
    """Sort key of a folder of examples."""
    name = os.path.basename(folder)
    return SECTIONS.index(name) if name in SECTIONS else len(SECTIONS), name


def arguments(gallery_conf, script_vars):
    """Command line of an example: the quickstart saves its picture outside the source tree."""
    if script_vars["src_file"].endswith("plot_quickstart.py"):
        return ["--figure", os.path.join(tempfile.gettempdir(), "quickstart.png")]
    return []


def reset(gallery_conf, filename):
    """Matplotlib's look for all figures: legible on a narrow screen, on white in a dark theme."""
    import matplotlib as mpl

    mpl.rcParams.update({"figure.dpi": 100, "savefig.facecolor": "white", "font.size": 10})
