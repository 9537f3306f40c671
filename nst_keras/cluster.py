"""A cluster of Dask (https://distributed.dask.org), by the address of its scheduler. Needs no TensorFlow."""

import logging
from contextlib import contextmanager, suppress

from nst_keras.pictures import without_warnings
from nst_keras.ranges import named

SAME_EVERYWHERE = "nst-keras", "tensorflow", "keras", "numpy", "distributed", "python"
PATIENCE = 10  # seconds in which a scheduler must answer, and have a worker


@contextmanager
def executor_at(address):
    """The executor for `transfer_style(…, workers=…)`; None without an address.

    Raises:
        ImportError: if Dask is not installed.
        ConnectionError: if no scheduler answers at the address, or it has no workers.
        ValueError: if a version there is another than here.
    """
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client
        from distributed.comm import connect
        from distributed.utils import LoopRunner
    except ImportError:
        raise ImportError("--workers needs Dask, which isn't installed: pip install nst-keras[cluster]") from None
    logging.disable()  # what Dask has to say of a connection, we say ourselves
    try:
        try:
            # A Client of what is no scheduler would wait for ever, or trouble us to its end.
            LoopRunner().run_sync(_greet, connect, address, callback_timeout=PATIENCE)
            with without_warnings():
                client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"No Dask scheduler answers at {address!r}; start one there, or check the address: tcp://host:8786."
            ) from error
        except Exception as error:  # another version of Dask, or a transport that isn't set up, has its own
            raise ConnectionError(
                f"The scheduler at {address!r} can't be used from here ({named(error)}). It must be of the same "
                "version of Dask as here, and its address like tcp://host:8786."
            ) from error
        with client:
            with suppress(TimeoutError):  # they may have been started just now
                client.wait_for_workers(1, PATIENCE)
            _check_workers(client.get_versions(packages=SAME_EVERYWHERE), address)
            yield client.get_executor(pure=False)  # else it would read every array once more, to know equal tasks
    finally:
        logging.disable(logging.NOTSET)


async def _greet(connect, address):
    await (await connect(address)).close()


def _check_workers(versions, address):
    """Refuse a cluster that couldn't do the tasks."""
    if not versions["workers"]:
        raise ConnectionError(f"The scheduler at {address} has no workers; start some: dask worker {address}")
    here = versions["client"]["packages"]
    for place, found in {"scheduler": versions["scheduler"], **versions["workers"]}.items():
        for name in SAME_EVERYWHERE:
            if (there := found["packages"].get(name)) != here[name]:
                where = "The scheduler" if place == "scheduler" else f"The worker {place}"
                raise ValueError(f"{where} has {name} {there}, and here is {here[name]}; install the same everywhere.")
