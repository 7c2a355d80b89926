"""The site: every guide is read where it lies, so nothing is copied and every link leads on.

The source folder is the checkout, not docs/: `sphinx-build -c docs . OUTPUT`, or `npm run docs`.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs/_ext"), str(ROOT / "server")]

project = "PySpark kernels for JupyterLab"
version = release = json.loads((ROOT / "package.json").read_text())["version"]
author = copyright = "jupyterlab-pyspark-kernels contributors"  # noqa: A001

extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design", "reference"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "deploy/README.md",
    "deploy/*/README.md",
    "benchmarks/README.md",
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
]
# Without these, all of node_modules would be looked through.
exclude_patterns = [".*", "lib", "node_modules", "server", "src", "ui-tests", "docs/_*"]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4  # as GitHub has them
nitpicky = True
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

smartquotes = False  # would make a dash of the two of an option

html_theme = "pydata_sphinx_theme"
html_title = project
html_extra_path = ["_root"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "PySpark kernels"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
