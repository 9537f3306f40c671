"""A cluster of Dask (https://distributed.dask.org), by the address of its scheduler. Needs no TensorFlow."""

import logging
from contextlib import contextmanager

from nst_keras.pictures import without_warnings

SAME_EVERYWHERE = "nst-keras", "tensorflow", "keras", "numpy", "distributed", "python"
PATIENCE = 10  # seconds in which a scheduler must answer


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
    except ImportError:
        raise ImportError("--workers needs Dask, which isn't installed: pip install nst-keras[cluster]") from None
    logging.disable()  # what Dask has to say of a connection, we say ourselves
    try:
        with _client(Client, address) as client:
            _check_workers(client.get_versions(packages=SAME_EVERYWHERE), address)
            yield client.get_executor(pure=False)  # else it would look for equal tasks, which there are none
    finally:
        logging.disable(logging.NOTSET)


def _client(kind, address):
    try:
        with without_warnings():
            return kind(address, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # an OSError, or whatever the text is that's no address
        raise ConnectionError(
            f"No scheduler of Dask answers at {address}; is it running, and is this where?"
        ) from error


def _check_workers(versions, address):
    """Refuse a cluster that couldn't do the tasks."""
    if not versions["workers"]:
        raise ConnectionError(f"The scheduler at {address} has no workers; start some: dask worker {address}")
    here = versions["client"]["packages"]
    for place, found in {"scheduler": versions["scheduler"], **versions["workers"]}.items():
        for name in SAME_EVERYWHERE:
            if (there := found["packages"].get(name)) != here[name]:
                where = "The scheduler" if place == "scheduler" else f"The worker {place}"
                raise ValueError(
                    f"{where} has {name} {there}, and here it's {here[name]}; install the same everywhere."
                )
