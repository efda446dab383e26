"""A Debian of its own in which a real systemd boots: no container engine, namespaces and a debootstrapped folder.

Needs root, as systemd does.
"""

import os
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.lock import held
from tests.parts.certbot import write_program
from tests.parts.command import ROOT

_PACKAGES: tuple[str, ...] = ("systemd", "systemd-sysv", "dbus", "nginx", "certbot", "python3", "python3-cryptography")
# What the service runs on, as Debian has it.
_PACKAGES += ("python3-starlette", "python3-jsonschema", "python3-yaml", "python3-uvicorn", "python3-httptools")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exodus-certbot"
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
exec chroot "$root" /lib/systemd/systemd --unit=multi-user.target
"""
_UNIT = """
[Unit]
After=nginx.service
Wants=nginx.service
[Service]
Type=oneshot
Environment=PYTHONPATH=/opt/project:/opt/project/hooks PYTHONDONTWRITEBYTECODE=1
ExecStart=/bin/bash /opt/script
ExecStopPost=/bin/sh -c 'exec systemctl poweroff --force --force >/dev/null 2>&1'
StandardOutput=append:/opt/said
StandardError=append:/opt/complained
TimeoutStartSec={script_seconds}
"""


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

    def boot(self, script: str, *, timeout_seconds: float = 90) -> str:
        """Boot, run a script once nginx is up, power off; give what the script printed."""
        self.path("/opt/script").write_text(script)
        self.path("/etc/systemd/system/lab.service").write_text(_UNIT.format(script_seconds=timeout_seconds - 30))
        wants = self.path("/etc/systemd/system/multi-user.target.wants/lab.service")
        wants.symlink_to("/etc/systemd/system/lab.service")
        self.path("/opt/project/hooks").mkdir(parents=True)
        for at in ("exodus_certbot", "hooks/exodus_common", "hooks/exodus_storage_guard"):
            subprocess.run(["cp", "-r", ROOT / at, self.path(f"/opt/project/{at}")], check=True)
        namespaces: tuple[str, ...] = ("--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child")
        namespaces += ("--cgroup", "--net", "--uts", "--ipc")
        done = subprocess.run(
            ["unshare", *namespaces, "bash", "-c", _BOOT, "boot", str(self.base), str(self.work)],
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
        said = self.path("/opt/said")
        assert said.exists(), f"it did not boot: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}"
        return said.read_text() + self.path("/opt/complained").read_text()


def debian(work: Path, suite: str | None = None) -> Debian:
    """Give a machine of a suite, by default the one that this one runs; its base is made once and kept."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = suite or release["VERSION_CODENAME"]
    packages = sha256(" ".join(_PACKAGES).encode()).hexdigest()[:8]
    base = _CACHE / f"booted-{suite}-{packages}"
    # Tests that run beside this one want the same.
    with held(base.with_suffix(".lock"), wait_seconds=600, clock=SystemClock()):
        if not base.exists():
            _debootstrap(suite, base)
    (work / "upper").mkdir(parents=True)
    return Debian(base, work)


def _debootstrap(suite: str, base: Path) -> None:
    targets = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.split()
    mirror = next(site for site in sites if "security" not in site)
    unfinished = base.with_suffix(".unfinished")
    _run("rm", "-rf", "--one-file-system", str(unfinished))
    _run("unshare", "--mount", "debootstrap", "--variant=minbase", suite, str(unfinished), mirror)
    # debootstrap does not choose between alternatives; apt does. Nothing is to be started in there yet.
    policy = unfinished / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    install = "apt-get update && apt-get install --yes --no-install-recommends " + " ".join(_PACKAGES)
    _run("cp", "--dereference", "/etc/resolv.conf", str(unfinished / "etc/resolv.conf"))
    _run("chroot", str(unfinished), "env", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", install)
    policy.unlink()
    unfinished.chmod(0o755)
    unfinished.rename(base)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
