"""A Debian of its own in which a real systemd boots: no container engine, namespaces and a debootstrapped folder.

Needs root, as systemd does.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.parts.certbot import write_program
from tests.parts.command import ROOT
from tests.parts.mounts import OWN, PRIVATE

_PACKAGES: tuple[str, ...] = ("systemd", "systemd-sysv", "dbus", "nginx", "certbot", "python3", "python3-cryptography")
# What the service runs on, as Debian has it.
_PACKAGES += ("python3-starlette", "python3-jsonschema", "python3-yaml", "python3-uvicorn", "python3-httptools")
_BOOT = """
set -eu
lower=$1 work=$2; root=$work/root
mount --make-rprivate / 2>/dev/null || true # in a chroot there is nothing mounted at /
mkdir -p "$root" "$work/overlay" "$work/outside"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/overlay" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mkdir -p "$root/opt/outside" # an overlay has inodes of its own, to which no socket is bound
mount --bind "$work/outside" "$root/opt/outside"
export container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$root"
# As on a machine of its own: who has mounts of his own sees that its root is the others', too. Not in a chroot.
if pivot_root . mnt 2>/dev/null; then umount --lazy /mnt; fi
exec chroot . /lib/systemd/systemd --unit=multi-user.target
"""
_INSTALL = """
set -eu
lower=$1 work=$2; root=$work/installing; shift 2
mount --make-rprivate / 2>/dev/null || true
mkdir -p "$root" "$work/overlay"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/overlay" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
chroot "$root" apt-get update
chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
  apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
"""
_PROBE = f"""
set -eu
{PRIVATE}
mkdir "$1/lower" "$1/upper" "$1/work" "$1/root" "$1/cgroup"
mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root"
mount -t cgroup2 cgroup2 "$1/cgroup"
"""
_APART = [*OWN, "--pid", "--fork", "--kill-child", "--cgroup", "--net", "--uts", "--ipc"]
_UNIT = """
[Unit]
After=nginx.service
Wants=nginx.service
[Service]
Type=oneshot
Environment={environment}
ExecStart=/bin/bash /opt/script
ExecStopPost=/bin/sh -c 'exec systemctl poweroff --force --force >/dev/null 2>&1'
StandardOutput=append:/opt/said
StandardError=append:/opt/complained
TimeoutStartSec={script_seconds}
"""


@cache
def why_none_boots() -> str:
    """Say what this machine does not let us do that a boot needs, as in a container; nothing where it lets us."""
    if os.geteuid() != 0:
        return "only root can boot a Debian"
    with TemporaryDirectory() as folder:
        argv = [*_APART, "bash", "-c", _PROBE, "probe", folder]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else f"no Debian boots here: {done.stderr.strip() or done.returncode}"


@dataclass(frozen=True)
class Debian:
    """A machine to be booted once: files of one's own over a base that all tests share."""

    base: Path
    work: Path

    def path(self, inside: str) -> Path:
        """Give the place of one of our own files; what is written there, the booted machine has."""
        place = self.work / "upper" / inside.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    @property
    def outside(self) -> Path:
        """Give a folder that is ours and the booted machine's, there /opt/outside: for sockets."""
        place = self.work / "outside"
        place.mkdir(exist_ok=True)
        return place

    def install_units(self) -> None:
        """Put our units and our command where an operator puts them, for Debian's own Python."""
        units = self.path("/etc/systemd/system/exodus-certbot.timer").parent
        subprocess.run(["cp", "-r", f"{ROOT}/packaging/systemd/.", units], check=True)
        environment = {"PYTHONPATH": "/opt/project:/opt/project/hooks", "PYTHONDONTWRITEBYTECODE": "1"}
        for name, module in (("exodus-certbot", "exodus_certbot"), ("exodus-storage-guard", "exodus_storage_guard")):
            command = self.path(f"/usr/local/bin/{name}")
            write_program(command, "/usr/bin/python3", "-P", "-m", module, **environment)
        users = self.path("/usr/lib/sysusers.d/exodus-storage-guard.conf")
        subprocess.run(["cp", f"{ROOT}/packaging/sysusers/exodus-storage-guard.conf", users], check=True)

    def install(self, *packages: Path | str) -> None:
        """Install packages, by file or by name, as an operator does, before it is booted."""
        files = [package for package in packages if isinstance(package, Path)]
        for file in files:
            shutil.copy(file, self.path(f"/root/{file.name}"))
        names = [f"/root/{one.name}" if isinstance(one, Path) else one for one in packages]
        resolver = self.path("/etc/resolv.conf")
        shutil.copy("/etc/resolv.conf", resolver)
        argv = [*OWN, "bash", "-c", _INSTALL, "install", str(self.base), str(self.work), *names]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def boot(self, script: str, *, timeout_seconds: float = 90, with_project: bool = True) -> str:
        """Boot, run a script once nginx is up, power off; give what the script printed.

        The script's Python has this project's code, where that is not to be what packages installed.
        """
        self.path("/opt/script").write_text(script)
        environment = "PYTHONPATH=/opt/project:/opt/project/hooks PYTHONDONTWRITEBYTECODE=1" if with_project else ""
        unit = _UNIT.format(script_seconds=timeout_seconds - 30, environment=environment)
        self.path("/etc/systemd/system/lab.service").write_text(unit)
        wants = self.path("/etc/systemd/system/multi-user.target.wants/lab.service")
        wants.symlink_to("/etc/systemd/system/lab.service")
        if with_project:
            self._bring_project()
        done = subprocess.run(
            [*_APART, "bash", "-c", _BOOT, "boot", str(self.base), str(self.work)],
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
        said = self.path("/opt/said")
        assert said.exists(), f"it did not boot: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}"
        return said.read_text() + self.path("/opt/complained").read_text()

    def _bring_project(self) -> None:
        self.path("/opt/project/hooks").mkdir(parents=True)
        for at in ("exodus_certbot", "hooks/exodus_common", "hooks/exodus_storage_guard"):
            subprocess.run(["cp", "-r", ROOT / at, self.path(f"/opt/project/{at}")], check=True)


def debian(work: Path, suite: str | None = None, packages: tuple[str, ...] = _PACKAGES) -> Debian:
    """Give a machine of a suite, by default the one that this one runs; its base is made once and kept."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    argv = [str(ROOT / "packaging/root"), "booted", suite or release["VERSION_CODENAME"], *packages]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    assert made.returncode == 0, made.stderr
    (work / "upper").mkdir(parents=True)
    return Debian(Path(made.stdout.strip()), work)
