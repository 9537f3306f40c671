"""The structure of the notebooks: what a reader on a web page, and one who runs them, can rely on."""

import ast
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("**/0*.ipynb"))
IMAGES = ("image/png", "image/jpeg", "image/gif")


@pytest.fixture(params=PATHS, ids=[str(path.relative_to(ROOT / "notebooks")) for path in PATHS])
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def is_text(output):
    return not set(IMAGES) & set(output.get("data", {}))


def markdown(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_the_course_is_complete():
    names = ["features", "gram_matrix", "content_loss", "style_loss", "total_loss", "training_loop"]
    lessons = [f"{number:02}_{name}.ipynb" for number, name in enumerate(names, start=1)]
    solutions = [f"solutions/{number:02}_solutions.ipynb" for number in range(1, 7)]
    assert [path.relative_to(ROOT / "notebooks").as_posix() for path in PATHS] == lessons + solutions


def test_stored_outputs_are_those_of_one_clean_run(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert [output.output_type for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


def test_no_cell_is_empty(notebook):
    assert all(cell.source.strip() for cell in notebook.cells)


def test_every_picture_has_alternative_text(notebook):
    for output in outputs(notebook):
        for mime in set(IMAGES) & set(output.get("data", {})):
            assert len(output.metadata.get(mime, {}).get("alt", "")) > 10
    assert re.findall(r"!\[\s*\]|<img(?![^>]*alt=)", markdown(notebook)) == []


def test_links_and_files_resolve(notebook, path):
    for target in re.findall(r"\]\(([^)]+)\)", markdown(notebook)):
        if not target.startswith(("https://", "#")):
            assert (path.parent / target.split("#")[0]).exists(), target


def test_imports_are_installed_by_the_requirements(notebook):
    required = {
        re.split(r"[=<>\[]", line)[0].strip().lower()
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith(("#", "-"))
    } | {"ipython"}  # comes with jupyter
    homes = packages_distributions()
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in names} - {"nst_keras"}:
                from_standard_library = module not in homes
                assert from_standard_library or required & {home.lower() for home in homes[module]}, module


def test_nearly_all_printed_outputs_are_compared_and_the_rest_say_why(notebook):
    printing = [cell for cell in code_cells(notebook) if any(map(is_text, cell.outputs))]
    ignored = [cell for cell in printing if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert len(ignored) <= 0.1 * len(printing)
    assert all("#" in cell.source for cell in ignored)


# Notebooks of the course's second edition: numbers that a reader can see, and questions.
LESSONS = ["01_features", "02_gram_matrix", "03_content_loss", "04_style_loss", "05_total_loss", "06_training_loop"]
SOLUTIONS = [f"solutions/{number:02}_solutions" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", [*LESSONS, *SOLUTIONS])
def test_readers_see_numbers_not_booleans(name):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    texts = [output.get("text", "") or output.data["text/plain"] for output in outputs(notebook) if is_text(output)]
    booleans = [text for text in texts if re.search(r"\b(True|False)\b", text)]
    assert len(booleans) <= 0.1 * len(texts)


@pytest.mark.parametrize("name", LESSONS)
def test_readers_predict_answer_and_take_a_key_idea_home(name):
    text = markdown(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4))
    assert text.count("> **Predict, then run.**") >= 4
    assert text.count("> **Key idea.**") >= 1
    assert text.count("<details><summary>Answers</summary>\n\n") == text.count("\n</details>") >= 3


def test_a_notebook_stays_small(path):
    assert path.stat().st_size < 2_500_000


def test_lessons_open_and_end_as_the_reader_expects(notebook, path):
    text = markdown(notebook)
    assert text.startswith(f"# {int(path.name[:2])}. ")
    if path.parent.name == "solutions":
        return
    for heading in ("## Summary", "## Exercises", "## (What's next|The way on)"):
        assert re.search(f"^{heading}$", text, re.MULTILINE)
    assert "After this notebook you can" in text
    assert re.search(r"\bminutes?\b", text)
    assert 3 <= len(re.findall(r"^### Exercise", text, re.MULTILINE)) <= 5
    assert f"solutions/{path.name[:2]}_solutions.ipynb" in text


@pytest.mark.parametrize("name", LESSONS)
def test_readme_and_front_page_ask_the_question_of_the_notebook(name):
    question = re.search(
        r"^\*\*(.+\?)\*\*$", markdown(nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)), re.M
    )
    for page in ("README.md", "docs/index.md"):
        assert question[1] in (ROOT / page).read_text(encoding="utf-8")


def test_the_table_of_the_articles_points_names_sections_that_exist():
    table = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    entries = re.findall(r"\[([^\]]+)\]\((0\d_\w+\.ipynb)\)", table)
    assert [f"| {point}. " in table for point in range(1, 11)] == [True] * 10
    for section, name in entries:
        notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        assert f"## {section}" in markdown(notebook).splitlines(), (section, name)


def test_executing_the_course_tells_of_every_notebook_and_stops_at_the_first_error(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "notebooks")
    build = importlib.import_module("build")
    monkeypatch.setattr(build, "PATHS", [tmp_path / f"{name}.ipynb" for name in ("first", "second", "third")])
    for path, code in zip(build.PATHS, ("print(6 * 7)", "1 / 0", "print(1)"), strict=True):
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    assert build.main(tmp_path / "executed") == 1
    shown = capsys.readouterr()
    assert re.fullmatch(r"\[1/3\] first\.ipynb … \d+ s\n\[2/3\] second\.ipynb … ", shown.out)
    assert "ZeroDivisionError" in shown.err
    executed = nbformat.read(tmp_path / "executed" / "first.ipynb", as_version=4)
    assert [output.text for output in outputs(executed)] == ["42\n"]
    assert not (tmp_path / "executed" / "third.ipynb").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("after", [0.0, 4.0])  # seconds, in which a kernel has started
def test_ctrl_c_while_the_course_is_executed_is_answered_in_one_line(tmp_path, after, start):
    command = [sys.executable, str(ROOT / "notebooks" / "build.py"), str(tmp_path / "build")]
    run = start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    first = run.stdout.read(1)  # of the line of progress
    time.sleep(after)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all the programs that it shows
    shown = (first + run.communicate(timeout=60)[0]).decode()
    assert run.returncode == 130
    assert shown.splitlines()[1:] == [f"Stopped after 0 of 6 notebooks; these lie in {tmp_path / 'build'}."]
