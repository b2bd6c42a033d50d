"""How Sphinx builds these pages: `make docs`."""

import re

import forkful

project = "forkful"
author = "the forkful developers"
copyright = "the forkful developers"
release = version = forkful.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"forkful {release}"

myst_heading_anchors = 3

# The hand-written annotations of the compiled module are shown where they are, in the signatures.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": True}
add_module_names = False


def _as_written(app, what, name, obj, options, lines):
    """Make Sphinx read docstrings as they are meant.

    Ours have `code` in single backticks; the standard library's are plain text, not markup.
    """
    if (getattr(obj, "__module__", None) or "").startswith("concurrent."):
        lines[:] = ["::", "", *("    " + line for line in lines), ""]
    else:
        lines[:] = [re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", _as_written)
