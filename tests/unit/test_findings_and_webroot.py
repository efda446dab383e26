"""What is found says how bad it is and what to do; a webroot says who else may write to it, and how long it lasts."""

import json
import os
import re
from pathlib import Path

import pytest

from exodus_certbot import findings
from exodus_certbot.acme import challenge, webroot
from exodus_certbot.acme.challenge import Answer, Target
from exodus_certbot.findings import Finding, Severity, critical, ok, warning
from exodus_certbot.model import Overall
from exodus_certbot.nginx.http_listener import HttpListener

MOUNTS = "/dev/sda1 / ext4 rw 0 0\ntmpfs /srv/fast tmpfs rw 0 0\ntmpfs /mnt/a\\040b tmpfs rw 0 0\n"
TARGET = Target("exodus.example", Path("/srv/www"))


def test_the_verdict_is_the_worst_finding() -> None:
    assert findings.verdict([]) is Overall.OK
    assert findings.verdict([ok("a", "b"), warning("a", "b", "c")]) is Overall.WARNING
    assert findings.verdict([critical("a", "b", "c"), ok("a", "b")]) is Overall.CRITICAL


def test_a_complaint_without_a_remedy_is_refused_and_praise_needs_none() -> None:
    with pytest.raises(ValueError, match="needs a remedy"):
        Finding(Severity.WARNING, "nginx", "is tired")
    assert ok("nginx", "runs").remedy == ""


def test_people_read_the_worst_last_and_scripts_read_fields() -> None:
    found = (critical("nginx", "does not run", "start it"), ok("timer", "is on"))

    lines = findings.show(found, as_json=False).splitlines()
    assert lines == ["OK: timer: is on", "CRITICAL: nginx: does not run", "    start it", "CRITICAL: 1 critical, 1 ok"]
    assert json.loads(findings.show(found, as_json=True))["findings"][0] == {
        "severity": "critical",
        "subject": "nginx",
        "message": "does not run",
        "remedy": "start it",
    }


def test_a_terminal_cannot_be_led_astray_by_what_is_shown() -> None:
    assert "\x1b" not in findings.show((warning("a", "b\x1b[2J", "c\x1bd"),), as_json=False)


def test_a_webroot_that_only_root_may_write_to_and_that_lasts_is_fine() -> None:
    assert not list(webroot.findings_of(Path("/usr/share"), MOUNTS))


@pytest.mark.parametrize(
    ("mode", "above", "message"),
    [
        (0o777, 0o755, "every user may write to {folder}"),
        (0o757, 0o755, "every user may write to {folder}"),
        (0o755, 0o777, "every user may write to {parent}"),
        (0o755, 0o1777, ""),
        (0o755, 0o755, ""),
    ],
    ids=["webroot", "others-only", "folder-above", "sticky-above", "closed"],
)
def test_who_may_write_to_a_webroot_may_answer_for_its_names(
    mode: int, above: int, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "above/webroot"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    folder.parent.chmod(above)

    found = [one.message for one in webroot.findings_of(folder, "") if "may write" in one.message]

    expected = message.format(folder=folder, parent=folder.parent)
    assert found == ([f"{expected}, and so answer the CA's challenges in your name"] if expected else [])


def test_the_folder_of_the_challenges_itself_is_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "webroot/.well-known/acme-challenge"
    folder.mkdir(parents=True)
    closed = [one for one in webroot.findings_of(tmp_path / "webroot", "") if "may write" in one.message]
    folder.chmod(0o777)
    (told,) = [one for one in webroot.findings_of(tmp_path / "webroot", "") if "may write" in one.message]

    assert not closed
    assert str(folder) in told.message


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")


@needs_root
@pytest.mark.parametrize("owned", [".", "webroot", "webroot/.well-known", "webroot/.well-known/acme-challenge"])
def test_a_webroot_that_is_another_users_is_told_wherever_on_its_way_that_is(owned: str, tmp_path: Path) -> None:
    folder = tmp_path / "above/webroot"
    (folder / ".well-known/acme-challenge").mkdir(parents=True)
    before = list(webroot.findings_of(folder, ""))
    os.chown(tmp_path / "above" / owned, 65534, -1)

    (told,) = [one for one in webroot.findings_of(folder, "") if "nobody's" in one.message]

    assert not [one for one in before if "a reboot" not in one.message]
    assert told.severity is Severity.WARNING
    assert told.message.startswith(f"{tmp_path / 'above' / owned} is nobody's, who may answer the CA's challenges")
    assert told.remedy.endswith(f"chown --no-dereference root {tmp_path / 'above' / owned}")


@needs_root
def test_a_link_of_another_user_is_told_and_one_of_roots_is_judged_by_its_holder(tmp_path: Path) -> None:
    holder = tmp_path / "holder"
    holder.mkdir()
    (holder / "link").symlink_to("/usr/share")
    fine = list(webroot.findings_of(holder / "link", MOUNTS))
    os.chown(holder / "link", 65534, -1, follow_symlinks=False)
    (of_another,) = webroot.findings_of(holder / "link", MOUNTS)
    os.chown(holder / "link", 0, -1, follow_symlinks=False)
    os.chown(holder, 65534, -1)
    (in_anothers,) = webroot.findings_of(holder / "link", MOUNTS)

    assert not fine
    assert of_another.message.startswith(f"{holder / 'link'} is nobody's")
    assert in_anothers.message.startswith(f"{holder} is nobody's")


def test_everybody_writes_to_a_sticky_webroot_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "webroot"
    folder.mkdir()
    folder.chmod(0o1777)

    assert [one for one in webroot.findings_of(folder, "") if "every user may write" in one.message]


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "/run"])
def test_a_webroot_that_a_reboot_deletes_is_told(place: str) -> None:
    assert [one for one in webroot.findings_of(Path(place), MOUNTS) if "a reboot deletes it" in one.message]


def test_a_webroot_in_memory_is_told_by_the_mount_it_is_on(tmp_path: Path) -> None:
    def short_lived(mounts: str) -> bool:
        return any("a reboot" in one.message for one in webroot.findings_of(Path("/usr/share"), mounts))

    assert short_lived(MOUNTS + "tmpfs /usr tmpfs rw 0 0\n")
    assert short_lived("tmpfs / tmpfs rw 0 0\n")
    assert not short_lived(MOUNTS + "tmpfs /usr tmpfs rw 0 0\n/dev/sdb /usr/share ext4 rw 0 0\n")
    assert not short_lived(MOUNTS + "tmpfs /usr/sha tmpfs rw 0 0\n")


@pytest.mark.parametrize("name", [b"a b", b"caf\xc3\xa9 au lait", b"no \xff utf-8", b"tab\tand\\"])
def test_a_mount_of_any_name_is_read(name: bytes) -> None:
    """Whoever may mount something names it as they like; the kernel writes blanks, and what ends a line, in octal."""
    written = os.fsdecode(re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % ord(found[0]), name))
    mounts = f"{MOUNTS}tmpfs /srv/{written} tmpfs rw 0 0\n"

    assert webroot._is_short_lived(Path("/srv") / os.fsdecode(name) / "www", mounts)
    assert not webroot._is_short_lived(Path("/srv/other/www"), mounts)
    assert list(webroot.findings_of(Path("/usr/share"), mounts)) == []


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "webroot"
    link.symlink_to("/usr/share")

    assert not list(webroot.findings_of(link, MOUNTS))


def test_a_listener_that_no_ca_asks_is_a_warning_and_port_80_is_none() -> None:
    assert not list(challenge.judge_port(TARGET, HttpListener("127.0.0.1", 80)))
    (found,) = challenge.judge_port(TARGET, HttpListener("127.0.0.1", 8080))
    assert (found.severity, "CAs ask port 80" in found.message) == (Severity.WARNING, True)


@pytest.mark.parametrize(("status", "word"), [(200, "not from"), (403, "closed"), (404, "404"), (502, "502")])
def test_each_answer_says_what_is_wrong_and_which_line_helps(status: int, word: str) -> None:
    found = challenge.judge(TARGET, HttpListener("::1", 80), Answer(False, "http://exodus.example/x", status))

    assert found.severity is Severity.CRITICAL
    assert word in found.message
    assert "(asked at [::1]:80)" in found.message
    assert "root /srv/www;" in found.remedy
    assert challenge.judge(TARGET, HttpListener("::1", 80), Answer(True, "http://x")).severity is Severity.OK
