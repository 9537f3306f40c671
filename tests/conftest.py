import os
import shutil
import signal
import subprocess
import threading

os.environ["MPLBACKEND"] = "agg"  # no display needed

import matplotlib.pyplot as plt
import playwright.sync_api
import pytest
from tqdm import tqdm

from nst_keras import load_image, load_vgg16
from nst_keras.__main__ import SIGNALS
from nst_keras._tensorflow import keras

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
CHANNELS = ("chrome", "msedge")  # where Windows and macOS keep them
HELP = "On Debian or Ubuntu, install one with `sudo apt install chromium`; then run `make test` again."

# A shell starts what runs in the background with Ctrl-C ignored, and then so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vgg16():
    return load_vgg16()


@pytest.fixture
def vgg16_in_16_bits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return load_vgg16()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def content():
    return load_image("summer_palace", size=64)


@pytest.fixture(scope="session")
def style():
    return load_image("great_wave", size=64)


@pytest.fixture
def bar_drawn_at_every_call(monkeypatch):
    """The bar is drawn once a second at most, which a fast machine needs for a whole run."""
    monkeypatch.setattr("nst_keras.progress.tqdm", lambda **knobs: tqdm(**{**knobs, "mininterval": 0}))


@pytest.fixture
def start():
    """`subprocess.Popen` of a process that ends after a minute, whatever it or we wait for."""
    timers = []

    def start(*arguments, **options):
        child = subprocess.Popen(*arguments, **options)
        timers.append(threading.Timer(60, child.kill))
        timers[-1].start()
        return child

    yield start
    for timer in timers:
        timer.cancel()


@pytest.fixture
def press_ctrl_c():
    """Send a process that paints what Ctrl-C sends, once it shows a step; return what it says from then on."""

    def press(run):
        shown = b""
        while b"step" not in shown:
            letter = run.stderr.read(1)
            assert letter, f"the program ended before its first step: {shown.decode()}"
            shown += letter
        run.send_signal(signal.SIGINT)
        said, error = run.communicate(timeout=60)
        return said.decode(), error.decode()

    return press


@pytest.fixture(scope="session")
def browser():
    found = [{"executable_path": path} for name in BROWSERS if (path := shutil.which(name))]
    with playwright.sync_api.sync_playwright() as session:
        for options in found + [{"channel": channel} for channel in CHANNELS]:
            try:
                browser = session.chromium.launch(**options)
            except playwright.sync_api.Error:
                continue
            yield browser
            browser.close()
            return
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"No Chromium, Chrome or Edge was found. {HELP}")


@pytest.fixture(autouse=True)
def _heed_signals():
    """The command line ignores signals once one has ended it; here the process goes on."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")
