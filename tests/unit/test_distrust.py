"""What of a title is handed to nginx: it may be anybody's words, and nginx's options can load code."""

import os
from pathlib import Path

import pytest

from exodus_certbot.nginx import distrust, proc
from exodus_certbot.nginx.proc import Process, Status
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.nginx.running import Running

ROOT, SOMEBODY = 0, 12345


def running(uid: int = ROOT, directives: str = "", *, has_usual_prefix: bool = True) -> Running:
    nginx = Nginx("nginx", "/etc/nginx/nginx.conf", "/usr/share/nginx", "", "", "", directives=directives)
    status = Status(b"Uid:\t%d\t%d\t%d\t%d\n" % ((uid,) * 4))
    return Running(Process(4711, 1), status, nginx, says_conf=True, has_usual_prefix=has_usual_prefix)


@pytest.fixture(params=[None, "/usr/sbin/nginx"], ids=["program unseen", "program seen"])
def is_seen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(proc, "program", lambda pid: request.param)
    return request.param is not None


@pytest.mark.parametrize("said", ["", "daemon on; master_process on;", "pid /run/x.pid; error_log stderr;"])
@pytest.mark.usefixtures("is_seen")
def test_options_that_load_nothing_are_handed_on(said: str) -> None:
    assert distrust.of(running(directives=said), None) is None


@pytest.mark.parametrize("said", ["load_module /tmp/x.so;", "daemon on; include /tmp/x.conf;", "pid x; }"])
def test_options_that_load_code_need_a_program_that_is_seen_to_run(said: str, is_seen: bool) -> None:
    assert (distrust.of(running(directives=said), None) is None) == is_seen


def test_a_prefix_needs_it_too(is_seen: bool) -> None:
    assert (distrust.of(running(has_usual_prefix=False), None) is None) == is_seen


@pytest.mark.parametrize("owner", [ROOT, SOMEBODY])
def test_or_a_pid_file_that_root_wrote(owner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "program", lambda pid: None)
    file = tmp_path / "nginx.pid"
    file.touch()
    status = os.stat_result((0o100644, 1, 1, 1, owner, owner, 4, 0, 0, 0))
    monkeypatch.setattr(os, "stat", lambda path: status)

    assert (distrust.of(running(directives="load_module x.so;"), str(file)) is None) == (owner == ROOT)


@pytest.mark.parametrize(("asks", "is_told"), [(ROOT, False), (SOMEBODY, False), (54321, True)])
def test_what_another_user_says_is_run_by_himself_and_by_root_in_his_place_alone(
    asks: int, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: asks)

    assert (distrust.of(running(SOMEBODY, "load_module /tmp/x.so;"), None) is not None) == is_told
