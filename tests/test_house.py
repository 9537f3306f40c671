"""The plan of the package: nothing imports a room above it, and editors see what Python sees."""

import ast
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import nst_keras
from nst_keras import Recipe, transfer_style

PACKAGE = Path(nst_keras.__file__).parent
# From the ground floor up.
HOUSE = [
    *("ranges", "pictures", "recipe", "styles", "_tensorflow", "images", "colours", "features", "losses", "objective"),
    *("descent", "memory", "progress", "tiles", "workers", "training", "plotting", "exercises", "checkpoints"),
    *("options", "folders", "jobs", "cluster", "__main__", "settings", "files", "parts", "brush", "studio"),
]
WITHOUT_TENSORFLOW = [
    *("ranges", "pictures", "recipe", "styles", "memory", "progress", "checkpoints"),
    *("options", "folders", "jobs", "cluster", "__main__", "settings", "files", "parts", "brush", "studio"),
]


def imported_rooms(path):
    """The rooms that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nst_keras":
            if node.module == "nst_keras":
                homes = {name: home for home, names in nst_keras._HOMES.items() for name in (home, *names)}
                yield from (homes[alias.name] for alias in node.names)
            else:
                yield node.module.split(".")[1]


def test_every_room_has_its_place():
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"__init__"} == set(HOUSE)


@pytest.mark.parametrize("room", HOUSE)
def test_no_room_imports_one_above_it(room):
    paths = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).glob("*.py"))
    for path in paths:
        for imported in imported_rooms(path):
            assert HOUSE.index(imported) <= HOUSE.index(room), f"{path.name} imports {imported}"


@pytest.mark.parametrize("room", WITHOUT_TENSORFLOW)
def test_rooms_without_tensorflow_do_not_wait_for_it(room):
    code = f"import sys, nst_keras.{room}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_only_the_studio_needs_widgets():
    code = "import sys, nst_keras, nst_keras.__main__, nst_keras.plotting; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    importers = {path.name for path in PACKAGE.glob("**/*.py") if "ipywidgets" in path.read_text(encoding="utf-8")}
    assert importers == {"parts.py", "brush.py", "studio.py"}


def stub():
    return ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))


def test_editors_see_every_public_name():
    names = {alias.asname for node in stub().body if isinstance(node, ast.ImportFrom) for alias in node.names}
    names |= {node.name for node in stub().body if isinstance(node, ast.FunctionDef)}
    assert names - {None} == set(nst_keras.__all__)


def test_editors_and_jupyter_see_the_knobs():
    [function] = [node for node in stub().body if isinstance(node, ast.FunctionDef)]
    shown = inspect.signature(transfer_style).parameters
    assert [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)] == list(shown)
    for knob in fields(Recipe):
        assert shown[knob.name].default == knob.default


def test_transfer_style_is_readable_on_one_screen():
    [function] = [
        node
        for node in ast.parse(Path(inspect.getfile(transfer_style)).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "transfer_style"
    ]
    docstring = function.body[0]
    assert function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1) <= 45


def test_no_room_is_too_large_to_read():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.glob("**/*.py")}
    assert [name for name, count in lines.items() if count > 350] == []


def test_importing_fixes_neither_threads_nor_devices():
    code = """if True:
        import nst_keras
        nst_keras.load_image, nst_keras.transfer_style, nst_keras.plotting, nst_keras.exercises
        import tensorflow as tf
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )
        print(nst_keras.load_image("cat", 8).shape)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.stderr) == ("(1, 5, 8, 3)\n", "")


def test_the_graph_mode_of_tensorflow_1_is_refused():
    code = """if True:
        import tensorflow as tf
        tf.compat.v1.disable_eager_execution()
        import nst_keras
        for make in (nst_keras.load_vgg16, lambda: nst_keras.transfer_style("cat", "poppies", verbose=0)):
            try:
                make()
            except RuntimeError as error:
                print(error)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.count("TensorFlow is set to graph mode") == 2
    assert run.stdout.count("\n") == 2
