"""A real nginx of one's own: free ports, a folder of its own, ended by its process id."""

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.waiting import wait_until

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin") or "nginx"
_SECONDS = 20.0


@functools.cache
def version() -> tuple[int, ...]:
    """Ask the program for its version."""
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, timeout=_SECONDS, check=True).stderr
    return tuple(map(int, re.findall(r"\d+", said)[:3]))


@dataclass
class RealNginx:
    """One nginx with its configuration, which tests write and rewrite."""

    folder: Path
    modules: str = ""
    workers: int = 2

    @property
    def conf(self) -> Path:
        """Name the main configuration file."""
        return self.folder / "nginx.conf"

    @property
    def error_log(self) -> Path:
        """Name the error log."""
        return self.folder / "error.log"

    @property
    def pid_file(self) -> Path:
        """Name the pid file."""
        return self.folder / "nginx.pid"

    def write(self, http: str, *, main: str = "") -> None:
        """Write a configuration whose `http` block holds the given text, and `main` beside it."""
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/tmp;\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.conf.write_text(
            f"{self.modules}worker_processes {self.workers};\n"
            f"pid {self.pid_file};\nerror_log {self.error_log} notice;\n"
            f"events {{ worker_connections 512; }}\n{main}\n"
            f"http {{\naccess_log off;\nserver_names_hash_max_size 65536;\nserver_names_hash_bucket_size 128;\n"
            f"{temporary}{http}\n}}\n"
        )

    @property
    def pid(self) -> int:
        """Give the master's process id."""
        return int(self.pid_file.read_text())

    def start(self) -> None:
        """Start the master; it goes to the background once it listens, and only then writes its pid file."""
        self.folder.chmod(0o755)
        command = [NGINX, "-c", str(self.conf)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + _SECONDS
        while not (self.pid_file.exists() and self.pid_file.read_text().strip()):
            assert time.monotonic() < deadline, f"nginx wrote no {self.pid_file}"
            time.sleep(0.001)

    def at_rest(self) -> "RealNginx":
        """Wait until a master that has just started has said all that it says: its workers begin after its pid file."""
        wait_until(lambda: self.error_log.read_text().count("start worker process ") == self.workers)
        return self

    def reload(self) -> None:
        """Reload as an operator does by hand."""
        subprocess.run([NGINX, "-c", str(self.conf), "-s", "reload"], timeout=_SECONDS, check=True)

    @property
    def reloads(self) -> int:
        """Count how often this master was told to reload."""
        return self.error_log.read_text(errors="replace").count("(SIGHUP) received")

    def stop(self) -> None:
        """End this very master, where it runs, and wait until it is gone."""
        try:
            pid = self.pid
            os.kill(pid, signal.SIGTERM)
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + _SECONDS
        while _is_alive(pid):
            assert time.monotonic() < deadline, f"nginx {pid} does not end"
            time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Tell whether a process still does anything: who ended is gone, even where init is slow to take note of it."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


@contextmanager
def running_nginx(
    folder: Path, http: str, *, main: str = "", modules: str = "", workers: int = 2
) -> Iterator[RealNginx]:
    """Run an nginx with this configuration for the time of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    nginx = RealNginx(folder, modules=modules, workers=workers)
    nginx.write(http, main=main)
    try:
        nginx.start()
        yield nginx
    finally:
        nginx.stop()
