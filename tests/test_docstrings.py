"""The examples in the docstrings are run, and every public function has one."""

import doctest
import importlib
import inspect

import numpy as np
import pytest

import nst_keras

MODULES = ["images", "features", "losses", "training", "plotting"]


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_true(module, content, style, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {name: getattr(nst_keras, name) for name in nst_keras.__all__}
    names |= {"np": np, "content": content, "style": style}
    module = importlib.import_module(f"nst_keras.{module}")
    failures, examples = doctest.testmod(module, extraglobs=names)
    assert failures == 0
    assert examples > 0


@pytest.mark.parametrize("name", nst_keras.__all__)
def test_public_functions_are_documented(name):
    public = getattr(nst_keras, name)
    if callable(public):
        assert "Example:" in inspect.getdoc(public)
