"""Sphinx settings of the site: `make docs`."""

import os
import pathlib
import re
import sys

root = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(root))

import tfp_cinn  # noqa: E402

project = "tfp_cinn"
release = version = tfp_cinn.__version__
html_theme = "furo"
html_title = f"tfp_cinn {release}"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
myst_heading_anchors = 3
# Docstrings write `name` for code.
default_role = "code"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
napoleon_use_ivar = True

# Files that are pages of the site although they lie elsewhere.
PAGES = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "reproduction/baselines/README.md": "baselines",
}


def read_page(app, docname, source):
    """Put the text of such a file before its page, and let links to such files lead to pages."""
    homes = {page: path for path, page in PAGES.items()}
    path = root / homes.get(docname, f"docs/{docname}.md")
    text = source[0] if docname not in homes else f"{path.read_text()}\n{source[0]}"

    def link(match):
        target = (path.parent / match[1]).resolve()
        if not target.is_relative_to(root):
            return match[0]
        name = str(target.relative_to(root))
        name = f"{PAGES[name]}.md" if name in PAGES else os.path.relpath(target, root / "docs")
        return f"]({name}{match[2] or ''})"

    source[0] = re.sub(r"\]\(([^):#]+)(#[^)]*)?\)", link, text)


def show_indented_blocks(app, what, name, obj, options, lines):
    """Show the formulas and the code of a docstring as they are written."""
    shown, inside = [], False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside and shown and not shown[-1].strip():
            shown += ["::", ""]
            inside = True
        elif line.strip() and not indented:
            inside = False
        shown.append(line)
    lines[:] = shown


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what TFP's metaclass copies into a subclass."""
    module = getattr(getattr(obj, "fget", obj), "__module__", None) or "tfp_cinn"
    return skip or not module.startswith("tfp_cinn")


def setup(app):
    """Register the functions above."""
    app.connect("source-read", read_page)
    app.connect("autodoc-skip-member", skip_foreign)
    # Before napoleon, which indents sections.
    app.connect("autodoc-process-docstring", show_indented_blocks, priority=100)
