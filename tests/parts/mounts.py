"""Filesystems of one's own, in a mount namespace of one's own: small ones that really fill up, read-only ones."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWN = ["unshare", "--mount", "--propagation", "unchanged", *(["--map-root-user"] if os.geteuid() else [])]
# In a root that was only changed to, / is no mount of its own; whoever changed to it keeps its mounts to himself.
PRIVATE = "mount --make-rprivate / 2>/dev/null || true"
_READY = "ready"
ROOT_IS_A_MOUNT = any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())
"""False in a root that was only changed to: which files a process in another namespace has, nobody can tell there."""


@dataclass(frozen=True)
class Namespace:
    """A mount namespace, kept by a process that waits."""

    pid: int

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Give a command line that runs inside."""
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        return ["nsenter", "--target", str(self.pid), "--mount", "--root", *user, "--", *argv]

    def path(self, inside: Path) -> Path:
        """Name a file as it is seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def sh(self, script: str) -> None:
        """Run a shell script inside."""
        done = subprocess.run(
            self.argv(["sh", "-euc", script]), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def mounted(script: str) -> Iterator[Namespace]:
    """Mount what a shell script mounts, for the time of a block."""
    keeper = subprocess.Popen(
        [*OWN, "sh", "-euc", f"{PRIVATE}\n{script}\necho {_READY}; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        said = keeper.stdout.readline().decode().strip()
        assert said == _READY, keeper.stderr.read().decode()
        yield Namespace(keeper.pid)
    finally:
        keeper.terminate()
        keeper.communicate(timeout=20)
