"""The site: `make site` reads the project as it stands, notebooks with their stored outputs, and writes build/site.

The pages lie all over the project, so its top is Sphinx's source folder: a link leads where it leads in the repository.
"""

import importlib.util
import os
import re
from pathlib import Path

from docutils import nodes
from myst_nb.core.render import NbElementRenderer
from sphinx.util.fileutil import copy_asset

os.environ["COLUMNS"] = "84"  # how wide the help of the command line is

from nst_keras.options import build_parser

HELP = build_parser().format_help()

project = "Neural style transfer, step by step"
root_doc = "docs/index"
include_patterns = ["docs/*", "notebooks/**", "data/README.md", "tests/benchmarks/README.md"]
exclude_patterns = [".*", "build", "notebooks/studio.ipynb", "**/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
myst_enable_extensions = ["amsmath", "attrs_block", "dollarmath"]
myst_heading_anchors = 3
highlight_language = "bash"  # of a block that names none
smartquotes = False  # "noise" in a docstring is typed with these quotes
default_role = "code"  # of `this` in a docstring
add_module_names = False
napoleon_custom_sections = ["Source"]
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"chtml": {"matchFontHeight": False}}  # else long formulas do not fit beside the two columns

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "footer_content_items": "extra-footer.html",  # no line for an author: the project names none
}
html_context = {"default_mode": "auto"}  # dark where the reader's system is
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]  # what leads from the site's address to the front page


def read_page(app, docname, source):
    """Take the fresh outputs of a notebook, if there are any, and turn links to the package's files and to folders."""
    fresh = Path(app.config.outputs, f"{docname}.ipynb")
    text = fresh.read_text(encoding="utf-8") if app.config.outputs and fresh.exists() else source[0]
    reference = "../" * docname.count("/") + "docs/reference.md"
    text = re.sub(r"\]\((?:\.\./)*nst_keras/(\w+)(?:\.py)?\)", rf"]({reference}#\1)", text)
    text = re.sub(r"(?<=solutions)\)", "/01_solutions.ipynb)", text)
    text = re.sub(r"(?<=\.ipynb#)[^)]+", lambda heading: heading[0].lower(), text)  # Jupyter keeps the case
    source[0] = text.replace("{{help}}", HELP)


def read_readme(app, path, docname, source):
    """Our pages include parts of the README, which lies a folder above them."""
    source[0] = re.sub(r"\]\((?!https:)", "](../", source[0])
    read_page(app, "docs/", source)


def render_image(self, data, render=NbElementRenderer.render_image):
    """Keep the alternative text of an output, which MyST-NB leaves out."""
    [image] = render(self, data)
    image["alt"] = data.output_metadata.get(data.mime_type, {}).get("alt", "")
    return [image]


def link_names(app, doctree, docname):
    """Let the name of a function, class or constant, set as code, lead to the reference."""
    kinds = ("function", "class", "exception", "data")
    objects = app.env.domains["py"].objects.items()
    places = {name.split(".")[-1]: place for name, place in objects if place.objtype in kinds}
    for code in list(doctree.findall(nodes.literal)):
        place = places.get(code.astext().split("(")[0])
        if place and not isinstance(code.parent, nodes.reference):
            address = f"{app.builder.get_relative_uri(docname, place.docname)}#{place.node_id}"
            code.replace_self(nodes.reference("", "", code.deepcopy(), refuri=address, internal=True))


def copy_mathjax(app, error):
    """Put beside the pages what they need of MathJax; its package holds fifteen times as much."""
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    copy_asset(package / "tex-chtml.js", app.outdir / "_static/mathjax")
    copy_asset(package / fonts, app.outdir / "_static/mathjax" / fonts)


def setup(app):
    app.add_config_value("outputs", "", "env")  # the folder where executed notebooks lie; else those in the project
    NbElementRenderer.render_image = render_image
    app.connect("source-read", read_page)
    app.connect("include-read", read_readme)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", copy_mathjax)
