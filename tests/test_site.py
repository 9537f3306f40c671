"""The site as its readers meet it: built once, read as files, then in a real browser."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup  # comes with nbconvert

import nst_keras
from nst_keras.options import build_parser

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/0*.ipynb"))
FRESH = "an output of today's run"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site, built as by `make run` when it has executed one notebook, the solutions of the first."""
    folder = tmp_path_factory.mktemp("site")
    name = "notebooks/solutions/01_solutions.ipynb"
    notebook = nbformat.read(ROOT / name, as_version=4)
    next(output for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output).text = FRESH
    (folder / name).parent.mkdir(parents=True)
    nbformat.write(notebook, folder / name)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", folder / "doctrees"]
    command += ["-D", f"outputs={folder}", ".", folder / "site"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert (run.returncode, run.stderr) == (0, "")
    return folder / "site"


@pytest.fixture(scope="session")
def pages(site):
    """{path: page} of all that is to be read."""
    paths = [path for part in ("docs", "notebooks", "data", "tests") for path in (site / part).glob("**/*.html")]
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in paths}


@pytest.fixture
def tab(browser):
    """A page of the browser with a list of what it asked for, and of its errors."""
    tab = browser.new_page()
    tab.asked, tab.errors = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("requestfailed", lambda request: tab.errors.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab
    tab.close()


def show(tab, path, width=1280, **media):
    """Open a page, and wait until its formulas are set."""
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(**media)
    tab.goto(path.as_uri())
    tab.evaluate("window.MathJax?.startup.promise")


def images_of(output):
    return [each for kind, each in output.get("metadata", {}).items() if kind.startswith("image/")]


def test_every_page_is_there_and_can_be_reached(site, pages):
    names = {path.relative_to(site).with_suffix("").as_posix() for path in pages}
    notebooks = {path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS}
    others = {"notebooks/README", "data/README", "tests/benchmarks/README"}
    assert names == notebooks | others | {
        f"docs/{name}" for name in ("index", "usage", "reference", "command_line", "cluster")
    }


def test_every_link_leads_somewhere(pages):
    targets = {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    for path, page in pages.items():
        for link in page.select("article a[href]"):
            address, _, place = link["href"].partition("#")
            if not address.startswith("https://"):
                file = (path.parent / address).resolve() if address else path
                assert file.is_file(), (path, link)
                assert not place or place in targets[file], (path, link)


def test_links_to_the_package_lead_to_the_reference(site, pages):
    files = {path.name for path in Path(nst_keras.__file__).parent.glob("**/*.py")}
    links = [link for page in pages.values() for link in page.select("article a[href]")]
    assert [link for link in links if Path(link["href"]).name in files] == []
    notebook = pages[site / "notebooks/06_training_loop.html"]
    addresses = {link["href"] for link in notebook.select("article a[href]")}
    assert {"../docs/reference.html#descent", "../docs/reference.html#nst_keras.training.transfer_style"} <= addresses


def test_the_reference_has_every_public_name_and_its_example(site, pages):
    reference = pages[site / "docs/reference.html"]
    for home, names in nst_keras._HOMES.items():
        assert reference.find(id=f"module-nst_keras.{home}"), home
        for name in names:
            entry = reference.find(id=f"nst_keras.{home}.{name}").parent
            assert not callable(getattr(nst_keras, name)) or entry.select_one(".doctest"), name


def test_the_help_of_the_command_line_is_there(site, pages):
    text = pages[site / "docs/command_line.html"].find("article").text
    for action in build_parser()._actions:
        assert all(option in text for option in action.option_strings)
        assert " ".join((action.help or "").split()[:3]) in " ".join(text.split())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_alternative_texts_arrive_and_code_folds_where_a_cell_says_so(path, site, pages):
    page = pages[site / path.relative_to(ROOT).with_suffix(".html")]
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    stored = [image["alt"] for output in outputs for image in images_of(output)]
    assert [picture["alt"] for picture in page.select(".cell_output img:not(figure img)")] == stored
    folded = [cell for cell in cells if "hide-input" in cell.metadata.get("tags", [])]
    assert len(page.select(".cell details.hide > summary")) == len(folded)


def test_fresh_outputs_take_the_place_of_stored_ones(pages):
    assert [path.stem for path, page in pages.items() if FRESH in page.text] == ["01_solutions"]


def test_the_extra_names_what_the_site_is_built_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[=<>]", line)[0] for line in project["optional-dependencies"]["site"]}
    settings = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    modules = re.search(r"^extensions = (\[.*\])$", settings, re.MULTILINE)[1]
    packages = {name.split(".")[0].replace("_", "-") for name in json.loads(modules)}
    assert named == packages | {"sphinx-book-theme", "sphinx-mathjax-offline"}


def test_the_address_of_the_site_leads_to_its_front_page(site, tab):
    tab.goto((site / "index.html").as_uri(), wait_until="commit")  # it leaves at once
    tab.wait_for_url("**/docs/index.html")
    assert tab.locator("article h1").inner_text().startswith("Neural style transfer")


# What a page must not show, as JavaScript that lists it.
FAULTS = {
    "pictures that are missing or have no text": """
        [...document.images].filter(image => image.complete && !image.naturalWidth || !(image.alt.length > 10))
            .map(image => image.outerHTML.slice(0, 200))""",
    "formulas that are not set": """
        [...document.querySelectorAll('.math')].filter(math => !math.querySelector('mjx-math:not(:has(mjx-merror))'))
            .map(math => math.textContent)""",
    "formulas that were not seen as such": r"""
        [...document.querySelectorAll('article :is(p, li, td)')].map(part => part.cloneNode(true)).filter(part => {
            part.querySelectorAll('code, pre, script').forEach(code => code.remove());
            return /\$|\\[a-z]+/.test(part.textContent);
        }).map(part => part.textContent)""",
    "what is wider than its page": """
        document.documentElement.scrollWidth > innerWidth ? [document.documentElement.scrollWidth] : []""",
}
CLIPPED = """
    [...document.querySelectorAll('article *')].filter(part => getComputedStyle(part).overflowX != 'visible' &&
        part.clientWidth && part.scrollWidth > part.clientWidth + 1 && !part.matches('span.math, mjx-assistive-mml'))
        .map(part => part.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1000, "dark")])
def test_every_page_is_whole_and_asks_nobody(width, scheme, site, pages, tab):
    formulas = 0
    for path in pages:
        show(tab, path, width, color_scheme=scheme)
        faults = FAULTS | ({"what is cut off": CLIPPED} if width == 1000 else {})
        found = {name: tab.evaluate(script) for name, script in faults.items()}
        assert {name: parts for name, parts in found.items() if parts} == {}, path.relative_to(site)
        formulas += tab.locator("mjx-math").count()
    assert formulas > 100
    assert tab.errors == []
    assert [address for address in tab.asked if not address.startswith(("file:", "data:"))] == []


def test_a_search_finds_gram(site, tab):
    show(tab, site / "docs/index.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("Gram")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=Gram*")
    tab.locator(".search li a").first.wait_for()
    found = tab.locator("ul.search li a").all_inner_texts()
    assert "2. Gram matrix" in found
    assert "nst_keras.losses.gram_matrix" in found


def test_a_slider_turns_to_the_next_picture(site, tab):
    show(tab, site / "notebooks/05_total_loss.html")
    shown = tab.locator("figure:has(input[type=range]) img:visible")
    before = shown.get_attribute("alt")
    tab.locator("input[type=range]").press("ArrowRight")
    assert shown.count() == 1
    assert shown.get_attribute("alt") != before


def test_folded_code_opens(site, tab):
    show(tab, site / "notebooks/01_features.html")
    code = tab.locator("details.hide .highlight").first
    assert not code.is_visible()
    tab.locator("details.hide > summary").first.click()
    assert code.is_visible()


def test_dark_mode_leaves_pictures_alone(site, tab):
    grey = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    filters = "[...new Set([...document.images].map(image => getComputedStyle(image).filter))]"
    for scheme in ("light", "dark"):
        show(tab, site / "notebooks/01_features.html", color_scheme=scheme)
        assert (max(tab.evaluate(grey)) < 64) == (scheme == "dark")
        assert tab.evaluate(filters) == ["none"]
