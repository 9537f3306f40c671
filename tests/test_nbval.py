"""How the notebooks' stored outputs are compared: see notebooks/conftest.py."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# what is tried: (code, stored text, whether they agree)
CELLS = {
    "the same": ("print('3 maps, ≈ 1.5')", "3 maps, ≈ 1.5\n", True),
    "within a fifth": ("print('≈ 1.19 and ≈0.81')", "≈ 1 and ≈1\n", True),
    "negative, with an exponent": ("print('≈ -1.1e+07')", "≈ -1.2e+07\n", True),
    "more than a fifth": ("print('≈ 1.21')", "≈ 1\n", False),
    "less than a fifth": ("print('≈ 0.79')", "≈ 1\n", False),
    "the second number": ("print('≈ 1, ≈ 3')", "≈ 1, ≈ 2\n", False),
    "the sign": ("print('≈ -1')", "≈ 1\n", False),
    "not a number": ("print('≈', float('nan'))", "≈ 1\n", False),
    "without ≈": ("print('≈ 1, 1.01')", "≈ 1, 1\n", False),
    "a changed word": ("print('a sea, ≈ 1')", "a lake, ≈ 1\n", False),
    "a missing line": ("print('≈ 1')", "≈ 1\nand a line\n", False),
    "a line too many": ("print('≈ 1\\nand a line')", "≈ 1\n", False),
    "a missing number": ("print('≈ 1, ≈')", "≈ 1, ≈ 2\n", False),
    "another unit": ("print('≈ 1 %')", "≈ 1 s\n", False),
    "within a named share": ("print('≈ 103')  # within 5 %", "≈ 100\n", True),
    "beyond a named share": ("print('≈ 106')  # within 5 %", "≈ 100\n", False),
    "within a named distance": ("print('≈ 0.04')  # within 0.05", "≈ 0.0\n", True),
    "beyond a named distance": ("print('≈ 0.06')  # within 0.05", "≈ 0.0\n", False),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{what is tried: whether nbval finds that it agrees}, from one run over a notebook with all cells."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(NOTEBOOKS / "conftest.py", folder)
    cells = [
        new_code_cell(code, execution_count=1, outputs=[new_output("stream", name="stdout", text=stored)])
        for code, stored, _ in CELLS.values()
    ]
    last_line = "class About:\n    __repr__ = lambda self: '≈ 1.1'\n\nAbout()"
    value = new_output("execute_result", data={"text/plain": "≈ 1"}, execution_count=1)
    cells.append(new_code_cell(last_line, execution_count=1, outputs=[value]))
    nbformat.write(new_notebook(cells=cells), folder / "cells.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-rA",
        "-p",
        "no:cacheprovider",
        str(folder),
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=120)
    found = re.findall(r"^(PASSED|FAILED) \S+::Cell (\d+)", run.stdout, re.MULTILINE)
    assert len(found) == len(cells), run.stdout + run.stderr
    # none failed for another reason; a set, since where the variable CI is set pytest says it again in its summary
    different = set(re.findall(r"Cell (\d+): Cell outputs differ", run.stdout))
    assert different == {number for outcome, number in found if outcome == "FAILED"}, run.stdout
    return {[*CELLS, "a value"][int(number)]: outcome == "PASSED" for outcome, number in found}


@pytest.mark.parametrize("tried", CELLS)
def test_numbers_after_about_are_compared_roughly_and_the_rest_exactly(outcomes, tried):
    assert outcomes[tried] is CELLS[tried][2]


def test_the_value_of_a_last_line_is_compared_in_the_same_way(outcomes):
    assert outcomes["a value"]
