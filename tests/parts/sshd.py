"""A real sshd of the test's own: on a loopback port, with its own keys, for the user who runs the tests."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exodus_storage_guard.stores.settings import ArchiveSettings
from tests.parts.mounts import Namespace
from tests.parts.ports import free_port
from tests.parts.processes import running, wait_until_answers


@dataclass(frozen=True)
class Sshd:
    """An sshd that lets one key in; `folder` is where an archive may be."""

    port: int
    folder: Path
    keys: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def url(self, folder: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"

    @property
    def settings(self) -> dict[str, str]:
        """Give what settings need beside the URL."""
        return {"identity_file": str(self.keys / "client"), "known_hosts_file": str(self.keys / "known_hosts")}

    def archive(self, folder: Path) -> ArchiveSettings:
        """Give the settings of an archive in a folder behind this server."""
        files = self.settings
        return ArchiveSettings(
            self.url(folder),
            identity_file=Path(files["identity_file"]),
            known_hosts_file=Path(files["known_hosts_file"]),
        )

    def expect_host_key(self, kind: str = "host") -> None:
        """Write down the key that the server is expected to have."""
        public = (self.keys / f"{kind}.pub").read_text().split()
        (self.keys / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n")


@contextmanager
def running_sshd(folder: Path, *options: str, within: Namespace | None = None) -> Iterator[Sshd]:
    """Run an sshd for the time of a block, in a mount namespace where one is given."""
    keys = folder / "keys"
    keys.mkdir(parents=True)
    for name in ("host", "another-host", "client", "another-client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True, timeout=30)
    shutil.copy(keys / "client.pub", keys / "authorized_keys")
    port = free_port()
    lines = [
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {keys / 'host'}",
        f"AuthorizedKeysFile {keys / 'authorized_keys'}",
        f"PidFile {keys / 'pid'}",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        "MaxStartups 100",
        "SetEnv SHLVL=2",  # or bash reads what this user has it start with, which is none of the tests' business
        *options,
    ]
    (keys / "sshd_config").write_text("\n".join(lines) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its own, which Debian's unit would make
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "there is no sshd: packaging/provision installs it"
    argv = [program, "-D", "-e", "-f", str(keys / "sshd_config")]
    if within is not None:
        argv = within.argv(argv)
    log = folder / "sshd.log"
    with running(argv, env={"PATH": os.environ["PATH"]}, log=log) as process:
        server = Sshd(port, folder, keys, process)
        server.expect_host_key()
        wait_until_answers(process, lambda: _greeted(port), log)
        yield server


def _greeted(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        if not connection.recv(4).startswith(b"SSH"):
            raise OSError("it says nothing")
