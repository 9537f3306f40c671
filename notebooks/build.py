"""Execute the course into a folder, one line for each notebook: python notebooks/build.py [folder]."""

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PATHS = sorted(HERE.glob("0*.ipynb"))


def execute(path, folder):
    """Run a notebook from a fresh kernel, top to bottom, where it lies; return what went wrong, "" if nothing did."""
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--log-level=ERROR", path]
    command += ["--ExecutePreprocessor.record_timing=False", "--output-dir", folder]
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


def main(folder):
    """Execute every notebook; return the exit status."""
    done = 0
    try:
        for number, path in enumerate(PATHS, start=1):
            print(f"[{number}/{len(PATHS)}] {path.name} … ", end="", flush=True)
            start = time.monotonic()
            if error := execute(path, folder):
                print(f"failed\n{error}", file=sys.stderr)
                return 1
            done = number
            print(f"{time.monotonic() - start:.0f} s", flush=True)
    except KeyboardInterrupt:
        print(f"\nStopped after {done} of {len(PATHS)} notebooks; these lie in {folder}.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build" / "notebooks")))
