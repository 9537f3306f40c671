"""The examples in the docstrings are run, and every public function has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import nst_keras

PACKAGE = Path(nst_keras.__file__).parent
WITHOUT_EXAMPLES = ["__init__", "__main__", "_tensorflow"]
ROOMS = [
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    for path in sorted(PACKAGE.glob("**/*.py"))
    if path.stem not in WITHOUT_EXAMPLES
]


@pytest.mark.parametrize("room", ROOMS)
def test_examples_are_true(room, content, style, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {name: getattr(nst_keras, name) for name in nst_keras.__all__}
    names |= {"np": np, "content": content, "style": style}
    module = importlib.import_module(f"nst_keras.{room}")
    failures, examples = doctest.testmod(module, globs=vars(module) | names | {"__name__": "example"})
    assert failures == 0
    assert examples > 0 or room not in nst_keras.__all__


def public_names():
    for room in ROOMS:
        module = importlib.import_module(f"nst_keras.{room}")
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_"):
                yield value


@pytest.mark.parametrize("name", nst_keras.__all__)
def test_public_functions_are_documented(name):
    public = getattr(nst_keras, name)
    if callable(public):
        assert "Example:" in inspect.getdoc(public)


def test_whatever_a_room_shows_has_a_docstring():
    names = [
        f"{value.__module__}.{value.__name__}" for value in public_names() if callable(value) and not value.__doc__
    ]
    assert names == []
