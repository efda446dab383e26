"""Which file a path means to a process, by the table of its mounts."""

from pathlib import Path

import pytest

from exodus_certbot.nginx import mounts, proc
from exodus_certbot.nginx.mounts import Mounts

PLAIN = b"""\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:2 /data /srv/with\\040blank rw - ext4 /dev/sda2 rw
"""


def seen(table: bytes, path: str) -> tuple[bytes, str] | None:
    return Mounts.of(table).place_of(path)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", (b"8:1", "/")),
        ("/etc/nginx/nginx.conf", (b"8:1", "/etc/nginx/nginx.conf")),
        ("/srv/with blank/x.pem", (b"8:2", "/data/x.pem")),
        ("/srv/with blank", (b"8:2", "/data/")),
        ("/srv/with blankness/x.pem", (b"8:1", "/srv/with blankness/x.pem")),
    ],
)
def test_a_path_lies_on_the_mount_that_is_nearest_to_it(path: str, place: tuple[bytes, str]) -> None:
    assert seen(PLAIN, path) == place


def test_of_mounts_on_one_place_the_last_one_is_seen() -> None:
    stacked = PLAIN + b"30 24 0:40 / /srv/with\\040blank rw - tmpfs none rw\n"

    assert seen(stacked, "/srv/with blank/x.pem") == (b"0:40", "/x.pem")


def test_what_lies_below_a_mount_that_came_later_is_not_seen() -> None:
    hidden = PLAIN + b"31 22 0:41 / /srv rw - tmpfs none rw\n"

    assert seen(hidden, "/srv/with blank/x.pem") == (b"0:41", "/with blank/x.pem")


def test_a_root_that_is_no_mount_has_no_place_of_its_own() -> None:
    assert seen(b"23 22 0:5 / /proc rw - proc proc rw\n", "/etc/nginx/nginx.conf") is None


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (b"", ()),
        (b"40 22 8:1 /etc /etc ro - ext4 /dev/sda1 rw\n", ()),  # ProtectSystem=strict
        (b"40 22 8:1 /other /etc rw - ext4 /dev/sda1 rw\n", ("/etc/ssl/x.pem",)),
        (b"40 22 0:50 / /tmp rw - tmpfs none rw\n", ("/tmp/y.pem",)),  # PrivateTmp=yes
    ],
    ids=["none", "the same once more", "another folder", "a folder in memory"],
)
def test_only_files_that_differ_are_named(more: bytes, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "mounts", lambda pid: PLAIN + more if pid == 4711 else PLAIN)

    assert mounts.unlike(4711, ["/etc/ssl/x.pem", "/tmp/y.pem"]) == found


def test_a_link_is_followed_to_a_file_that_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (tmp_path / "live.pem").symlink_to(archive / "x1.pem")
    over = f"40 22 8:2 / {archive} rw - ext4 /dev/sda2 rw\n".encode()
    monkeypatch.setattr(proc, "mounts", lambda pid: PLAIN + over if pid == 4711 else PLAIN)

    assert mounts.unlike(4711, [f"{tmp_path}/live.pem", f"{tmp_path}/other.pem"]) == (f"{tmp_path}/live.pem",)


def test_where_mounts_are_not_to_be_seen_nothing_is_said_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "mounts", lambda pid: b"" if pid == 4711 else PLAIN)

    assert mounts.unlike(4711, ["/etc/ssl/x.pem"]) == ()
