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


# Modules whose docstrings are somebody else's.
_STANDARD = ("concurrent.", "multiprocessing.", "threading", "queue")


def _as_written(app, what, name, obj, options, lines):
    """Make Sphinx read docstrings as they are meant.

    The standard library's are plain text, also where an undocumented method of ours inherits one. Ours have `code` in
    single backticks, and parameters as "name: what it means", with what follows indented.
    """
    if not any(line.strip() for line in lines):
        return
    if not obj.__doc__ or (getattr(obj, "__module__", None) or "").startswith(_STANDARD):
        lines[:] = ["::", "", *("    " + line for line in lines), ""]
        return
    read = []
    for line in lines:
        line = re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``", line)
        parameter = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if parameter:
            read += ["", "- *{}*: {}".format(*parameter.groups())]
        elif line.startswith(" ") and read and read[-1]:
            read[-1] += " " + line.strip()
        else:
            if read and read[-1].startswith("- *") and line.strip():
                read.append("")
            read.append(line)
    lines[:] = [*read, ""]


def setup(app):
    app.connect("autodoc-process-docstring", _as_written)
