"""Celery's workers."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.parts.processes import running


@contextmanager
def running_worker(
    python: str, app: str, *, env: Mapping[str, str], log: Path, pool: str = "prefork"
) -> Iterator[None]:
    """Run a worker and its two processes, or threads, for the time of a block, its output in `log`; then kill them."""
    argv = [python, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO", "--pool", pool, "--concurrency", "2"]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with running(argv, env=env, log=log) as process:
        try:
            yield
        finally:  # asked nicely it takes seconds
            os.killpg(process.pid, signal.SIGKILL)
