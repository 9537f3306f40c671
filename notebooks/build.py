"""Execute the course into a folder: notebooks, web pages with an index, and the pictures they make.

The solutions become pages with the outputs they are stored with. The pages work without a network: formulas are set by
a copy of MathJax that lies beside them.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jupyter_server_mathjax
import nbformat
from bs4 import BeautifulSoup  # comes with nbconvert
from nbconvert import HTMLExporter

HERE = Path(__file__).parent
PATHS = sorted(HERE.glob("0*.ipynb")) + sorted(HERE.glob("solutions/0*.ipynb"))

INDEX = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Neural style transfer, step by step</title>
<style>body {{ font: 18px/1.6 sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>Neural style transfer, step by step</h1>
{body}
</html>
"""


def execute(path, output):
    """Run a notebook from a fresh kernel, top to bottom, where it lies; return what went wrong, "" if nothing did."""
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--log-level=ERROR", path]
    command += ["--ExecutePreprocessor.record_timing=False", "--output-dir", output.parent, "--output", output.name]
    # Out of reach of Ctrl-C, which nbconvert and its kernel would answer with a hundred lines.
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # on Windows
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True, creationflags=group
    )
    try:
        _, error = child.communicate()
    finally:
        child.kill()
    return error if child.returncode else ""


def to_html(notebook, title, mathjax):
    """The notebook as a page; links to other notebooks lead to their pages, and code tagged hide-input is folded."""
    url = f"{mathjax}/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"
    exporter = HTMLExporter(mathjax_url=url, embed_images=True)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    soup = BeautifulSoup(page, "html.parser")
    for code in soup.select(".celltag_hide-input .jp-Cell-inputWrapper"):
        fold = code.wrap(soup.new_tag("details"))
        fold.insert(0, BeautifulSoup("<summary>Code of this cell</summary>", "html.parser"))
    # nbconvert leaves out the alternative texts.
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [each["alt"] for output in outputs for each in output.get("metadata", {}).values() if "alt" in each]
    for picture, text in zip(soup.select(".jp-RenderedImage img"), texts, strict=True):
        picture["alt"] = text
    page = str(soup)
    return re.sub(r'href="(?!https?:)([^"]+)\.ipynb', r'href="\1.html', page)


def main(build):
    """Execute and convert every notebook; return the exit status."""
    done = []
    try:
        return build_pages(build, done)
    except KeyboardInterrupt:
        print(f"\nStopped after {len(done)} of {len(PATHS)} notebooks; their pages lie in {build}.")
        return 130


def build_pages(build, done):
    """Execute and convert every notebook, and count it in `done`; return the exit status."""
    build.mkdir(parents=True, exist_ok=True)
    shutil.copytree(Path(jupyter_server_mathjax.__file__).parent / "static", build / "mathjax", dirs_exist_ok=True)
    sections = {"Notebooks": [], "Solutions of the exercises": []}
    for number, path in enumerate(PATHS, start=1):
        name = path.relative_to(HERE)
        print(f"[{number}/{len(PATHS)}] {name} … ", end="", flush=True)
        start = time.monotonic()
        page = build / name.with_suffix(".html")
        page.parent.mkdir(exist_ok=True)
        if path.parent != HERE:
            shutil.copy(path, build / name)
        elif error := execute(path, build / name):
            print(f"failed\n{error}", file=sys.stderr)
            return 1
        notebook = nbformat.read(build / name, as_version=4)
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        page.write_text(to_html(notebook, title, "../" * (len(name.parts) - 1) + "mathjax"), encoding="utf-8")
        section = sections["Notebooks" if len(name.parts) == 1 else "Solutions of the exercises"]
        section.append(f'<p><a href="{name.with_suffix(".html").as_posix()}">{title}</a></p>')
        done.append(path)
        print(f"{time.monotonic() - start:.0f} s", flush=True)
    pictures = [path.name for path in sorted(build.iterdir()) if path.suffix in (".png", ".gif")]
    sections["Pictures made on the way"] = [f'<p><img src="{name}" alt="{name}"></p>' for name in pictures]
    body = "\n".join(f"<h2>{heading}</h2>\n" + "\n".join(lines) for heading, lines in sections.items())
    (build / "index.html").write_text(INDEX.format(body=body), encoding="utf-8")
    print(f"Open {build / 'index.html'} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build")))
