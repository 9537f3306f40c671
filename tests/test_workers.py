import asyncio
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest
from dask.distributed import Client, LocalCluster
from PIL import Image

from nst_keras import FeatureExtractor, Recipe, Style, load_image, load_vgg16, noise_image, transfer_style, workers
from nst_keras.__main__ import main
from nst_keras._tensorflow import keras, tf
from nst_keras.cluster import executor_at
from nst_keras.descent import gradient_of
from nst_keras.features import BUNDLED_WEIGHTS
from nst_keras.objective import objective_of
from nst_keras.tiles import tiled_gradient
from nst_keras.workers import passes_of

PAGE = Path(__file__).parents[1] / "docs/cluster.md"
SHALLOW = {"content_layers": "block2_conv2", "style_layers": ["block1_conv1", "block2_conv1"]}
TILED = {"size": 100, "tile": 64, "steps": 3, "coarse_to_fine": False, "verbose": 0, **SHALLOW}


class Far:
    """An executor that does a task at once; tasks and results are pickled, as on the way to another machine."""

    def __init__(self):
        self.tasks = []

    def map(self, function, tasks):
        return iter([self.result_of(function, task) for task in tasks])

    def result_of(self, function, task):
        self.tasks.append(task)
        far_function, far_task = pickle.loads(pickle.dumps((function, task)))
        return pickle.loads(pickle.dumps(far_function(far_task)))


class Broken(Far):
    """An executor that fails after some tasks."""

    def __init__(self, error, after):
        super().__init__()
        self.error, self.after = error, after

    def result_of(self, function, task):
        if len(self.tasks) == self.after:
            raise self.error
        return super().result_of(function, task)


@pytest.fixture(autouse=True)
def _nothing_loaded():
    workers._passes.cache_clear()


@pytest.fixture(scope="module")
def alone():
    return transfer_style("cat", "poppies", **TILED)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address and processes of a cluster on this machine, started by the commands of the documentation."""
    scheduler, worker = re.findall(r"^dask (.*127\.0\.0\.1.*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(folder)}
    processes = []
    try:
        with (folder / "log.txt").open("w") as log:
            for command in (scheduler, worker):
                command = [sys.executable, "-m", "dask", *command.replace("8786", port).split()]
                processes.append(psutil.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        yield f"tcp://127.0.0.1:{port}", processes
    finally:
        for process in [child for one in processes for child in (one, *one.children(recursive=True))]:
            process.kill()
        psutil.wait_procs(processes, timeout=10)


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster[0], timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def assert_same(result, expected):
    """Equal to rounding."""
    (image, history), (expected_image, expected_history) = result, expected
    np.testing.assert_allclose(image, expected_image, atol=1e-4)
    losses, expected_losses = history.history["total_loss"], expected_history.history["total_loss"]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def test_losses_and_gradient_are_those_of_the_whole_picture(vgg16):
    """By tasks that hold NumPy arrays alone; two styles, a region, another number of rows than of columns."""
    recipe = Recipe(**SHALLOW)
    extract = FeatureExtractor(recipe.content_layers | recipe.style_layers, vgg16)
    content, image = load_image("summer_palace", 150), noise_image(100, 150, seed=3)
    styles = [Style(load_image("great_wave", 80), region=load_image("summer_palace_sky", 150)), load_image("cat", 90)]
    styles[1] = Style(styles[1], share=0.5)
    pictures = extract, content, styles, recipe
    losses, gradient = gradient_of(objective_of(*pictures))(image)
    far = Far()
    found_losses, found = tiled_gradient(*pictures, 64, run_pass=passes_of(far, extract, recipe))(image)
    assert found_losses == pytest.approx(losses, rel=1e-6)
    assert np.abs(found - gradient).max() < 1e-5 * np.abs(gradient).max()
    arrays = [array for _, *data in far.tasks for array in tf.nest.flatten(data)]
    assert {type(array) for array in arrays} <= {np.ndarray, np.float32}


def test_any_executor_will_do(alone):
    with ThreadPoolExecutor(1) as executor:
        assert_same(transfer_style("cat", "poppies", workers=executor, **TILED), alone)


def test_a_worker_makes_the_same_network(vgg16_in_16_bits):
    """With average pooling, in 16 bits; and a machine's own setting is left as it is."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vgg16 = load_vgg16(pooling="average")
    finally:
        keras.config.set_dtype_policy("float32")
    with_average = transfer_style("cat", "poppies", vgg16=vgg16, **TILED)
    assert_same(transfer_style("cat", "poppies", vgg16=vgg16, workers=Far(), **TILED), with_average)
    assert keras.config.dtype_policy().name == "float32"
    with_maximum = transfer_style("cat", "poppies", vgg16=vgg16_in_16_bits, **TILED)
    assert np.abs(with_maximum[0] - with_average[0]).max() > 0.01


def test_a_worker_loads_the_network_once(monkeypatch):
    loaded = []
    monkeypatch.setattr(workers, "load_vgg16", lambda *origin: loaded.append(origin) or load_vgg16(*origin))
    far = Far()
    transfer_style("cat", "poppies", workers=far, **TILED)
    assert len(far.tasks) > 10
    assert loaded == [("bundled", "max")]


def test_other_weights_on_a_worker_are_refused(tmp_path):
    path = shutil.copy(BUNDLED_WEIGHTS, tmp_path / "own.weights.h5")
    vgg16 = load_vgg16(path)
    vgg16.get_layer("block1_conv1").bias.assign_add(np.full(64, 0.01))
    with pytest.raises(
        ValueError, match=r"A worker's VGG16 of '.*own\.weights\.h5' has other weights than the one here"
    ):
        transfer_style("cat", "poppies", vgg16=vgg16, workers=Far(), **TILED)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="There is no weights file"):
        transfer_style("cat", "poppies", vgg16=vgg16, workers=Far(), **TILED)


def test_a_network_of_unknown_origin_and_what_is_no_executor_are_refused():
    other = keras.models.clone_model(load_vgg16())
    with pytest.raises(ValueError, match=r"With workers, vgg16 must come from load_vgg16"):
        transfer_style("cat", "poppies", vgg16=other, workers=Far(), **TILED)
    with pytest.raises(ValueError, match=r"workers is an executor, .* not int\."):
        transfer_style("cat", "poppies", workers=4, **TILED)


def test_a_tile_of_the_workers_has_512_pixels_unless_told_otherwise(monkeypatch, capsys, bar_drawn_at_every_call):
    assert workers.WORKERS_TILE == 512
    monkeypatch.setattr("nst_keras.training.WORKERS_TILE", 64)
    far = Far()
    transfer_style("cat", "poppies", workers=far, **TILED | {"tile": "auto", "steps": 1, "verbose": 1})
    shown = capsys.readouterr().err
    assert "painted in 2 tiles." in shown
    assert "gradient of tile 2 of 2" in shown
    assert max(side for _, seen, *_ in far.tasks for side in seen.shape[1:3]) < 100
    idle = Far()
    transfer_style("cat", "poppies", workers=idle, **TILED | {"tile": "auto", "steps": 1, "size": 40})
    assert idle.tasks == []


@pytest.mark.parametrize(
    ("error", "stopped", "kind", "says"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "out of memory", MemoryError, "Memory ran out"),
        (RuntimeError("nobody is left"), "workers lost", ConnectionError, r"gave up \(RuntimeError: nobody is left\)"),
        (CancelledError(), "workers lost", ConnectionError, r"gave up \(CancelledError\)"),
    ],
)
def test_what_the_workers_cannot_do_ends_the_run_with_the_picture_so_far(error, stopped, kind, says):
    with pytest.warns(UserWarning, match=says + r".* after step 2"):
        image, history = transfer_style("cat", "poppies", workers=Broken(error, after=18), **TILED)
    assert history.params["stopped"] == stopped
    assert image.shape == (1, 67, 100, 3)
    with pytest.raises(kind, match=says + r".* in the first step"):
        transfer_style("cat", "poppies", workers=Broken(error, after=6), **TILED)


def test_the_cluster_of_the_documentation_paints_the_same_picture(client, alone):
    assert_same(transfer_style("cat", "poppies", workers=client.get_executor(), **TILED), alone)


def test_the_cluster_of_the_documentation_is_out_of_reach(cluster, client):
    processes = [process for one in cluster[1] for process in (one, *one.children(recursive=True))]
    listening = [
        address.laddr for process in processes for address in process.net_connections() if address.status == "LISTEN"
    ]
    assert len(listening) >= 4
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_worker_that_is_killed_costs_time_and_nothing_else(client, alone):
    killed = []

    def kill_while_it_computes():
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for worker in [worker for worker, tasks in client.processing().items() if tasks][:1]:
                killed.append(pids[worker])
                psutil.Process(pids[worker]).kill()
            time.sleep(0.01)

    def after_the_first_step(step, losses, image):
        if step == 1:
            murder.start()

    pids = client.run(os.getpid)
    murder = threading.Thread(target=kill_while_it_computes, daemon=True)
    result = transfer_style("cat", "poppies", workers=client.get_executor(), callbacks=after_the_first_step, **TILED)
    murder.join(60)
    assert len(killed) == 1
    assert not psutil.pid_exists(killed[0])
    assert result[1].params["stopped"] is None
    assert_same(result, alone)


def test_the_command_line_paints_with_it_and_keeps_its_remarks_to_itself(client, cluster, tmp_path, capsys):
    output = tmp_path / "out.png"
    arguments = [*("--size", "100", "--tile", "64", "--steps", "1", "--no-coarse-to-fine", "--workers", cluster[0])]
    layers = ["--content-layers", "block1_conv1", "--style-layers", "block1_conv1"]
    assert main(["cat", "poppies", "-o", str(output), *arguments, *layers]) == 0
    assert output.exists()
    shown = capsys.readouterr().err
    assert "painted in 2 tiles." in shown
    assert "distributed" not in shown


def test_several_photos_are_painted_side_by_side(client, cluster, tmp_path, capsys):
    """A photo is a task: it goes to a worker and comes back as the picture that it becomes here."""
    options = ["-s", "poppies", "--size", "64", "--steps", "2", "--no-coarse-to-fine"]
    options += ["--content-layers", "block1_conv1", "--style-layers", "block1_conv1"]
    assert main(["cat", "coffee", "-o", str(tmp_path / "there"), "--workers", cluster[0], *options]) == 0
    assert main(["cat", "coffee", "-o", str(tmp_path / "here"), *options]) == 0
    for name in ("cat.png", "coffee.png"):
        here, there = (np.asarray(Image.open(tmp_path / place / name), float) for place in ("here", "there"))
        assert np.abs(here - there).max() <= 1
    assert "distributed" not in capsys.readouterr().err


def test_when_the_workers_are_lost_resume_goes_on(monkeypatch, tmp_path, capsys):
    executors = iter([Broken(RuntimeError("nobody is left"), after=18), Far()])
    monkeypatch.setattr("nst_keras.__main__.executor_at", lambda address: nullcontext(next(executors)))
    arguments = [*("--size", "100", "--tile", "64", "--steps", "3", "--no-coarse-to-fine"), "--workers", "tcp://a:1"]
    arguments += ["--content-layers", "block2_conv2", "--style-layers", "block1_conv1,block2_conv1"]
    arguments = ["cat", "poppies", "-o", str(tmp_path / "out.png"), *arguments]
    assert main(arguments) == 1
    *_, why, goes_on = capsys.readouterr().err.splitlines()
    assert why.startswith("nst-keras: The workers gave up (RuntimeError: nobody is left) after step 2: the picture")
    assert goes_on == "Interrupted after step 2. The same command with --resume goes on."
    assert main([*arguments, "--resume"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_does_not_wait_for_workers_that_never_answer(monkeypatch, tmp_path, capsys):
    class Stuck(Far):
        def result_of(self, function, task):
            if len(self.tasks) == 18:  # in the third step
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
                pytest.fail("It waits for the tile.")
            return super().result_of(function, task)

    monkeypatch.setattr("nst_keras.__main__.executor_at", lambda address: nullcontext(Stuck()))
    arguments = [*("--size", "100", "--tile", "64", "--steps", "3", "--no-coarse-to-fine"), "--workers", "tcp://a:1"]
    arguments += ["--content-layers", "block2_conv2", "--style-layers", "block1_conv1,block2_conv1"]
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *arguments]) == 130
    assert "Interrupted after step 2. The same command with --resume goes on." in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "out.png.checkpoint.npz"]


def refusal(address, kind):
    with pytest.raises(kind) as error, executor_at(address):
        pass
    return str(error.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_a_scheduler_that_does_not_answer_is_named(address, tmp_path):
    code = "import sys; from nst_keras import __main__, cluster; cluster.PATIENCE = 0.5; sys.exit(__main__.main())"
    arguments = ["cat", "poppies", "-o", tmp_path / "out.png", "--workers", address]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    said = f"nst-keras: No Dask scheduler answers at {address!r}; start one there, or check the address: tcp://host:8786.\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", said)


def test_an_address_that_takes_the_call_and_says_nothing_is_named(monkeypatch):
    monkeypatch.setattr("nst_keras.cluster.PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system accepts for it
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert refusal(address, ConnectionError).startswith(f"No Dask scheduler answers at {address!r};")


def test_a_transport_that_is_not_set_up_and_a_dask_that_speaks_otherwise_are_answered_in_one_sentence(monkeypatch):
    says = "The scheduler at 'tls://127.0.0.1:9' can't be used from here (TypeError: "
    assert refusal("tls://127.0.0.1:9", ConnectionError).startswith(says)

    def other_version(address, **options):
        raise TypeError("Scheduler.identity() got an unexpected keyword argument 'n_workers'")

    monkeypatch.setattr("nst_keras.cluster._greet", greeted)
    monkeypatch.setattr("dask.distributed.Client", other_version)
    assert "unexpected keyword argument 'n_workers'). It must be" in refusal("tcp://127.0.0.1:9", ConnectionError)


async def greeted(connect, address):
    pass


def test_where_an_event_loop_runs_as_in_a_notebook_a_scheduler_is_asked_all_the_same():
    async def ask():
        return refusal("tcp://127.0.0.1:9", ConnectionError)

    with ThreadPoolExecutor(1) as executor:  # another thread: in this one tests of the site leave a loop
        said = executor.submit(asyncio.run, ask()).result(timeout=60)
    assert said.startswith("No Dask scheduler answers at 'tcp://127.0.0.1:9';")


def test_a_scheduler_without_workers_and_one_with_other_versions_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("nst_keras.cluster.PATIENCE", 1)
    place = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard_address": "127.0.0.1:0", "processes": False}
    with LocalCluster(n_workers=0, **place) as cluster:
        there = cluster.scheduler_address
        assert (
            refusal(there, ConnectionError)
            == f"The scheduler at {there} has no workers; start some: dask worker {there}"
        )
    versions = Client.get_versions

    def other_keras(client, **packages):
        found = versions(client, **packages)
        [worker] = found["workers"].values()
        worker["packages"] = worker["packages"] | {"keras": "3.12.0"}
        return found

    monkeypatch.setattr(Client, "get_versions", other_keras)
    with LocalCluster(n_workers=1, threads_per_worker=1, **place) as cluster:
        said = refusal(cluster.scheduler_address, ValueError)
    assert re.match(r"The worker tcp://\S+ has keras 3\.12\.0, and here is \S+; install the same everywhere\.$", said)
    assert "distributed" not in capsys.readouterr().err


def test_without_dask_the_command_line_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), "--workers", "tcp://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err.endswith("isn't installed: pip install nst-keras[cluster]\n")
