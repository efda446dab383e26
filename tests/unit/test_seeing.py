"""What may not be seen, and what is no path, is not there: no text in a file of certbot's ends a run."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exodus_certbot import ages
from exodus_certbot.acme import challenge_file, webroot
from exodus_certbot.certbot import installers, plans, renewable, renewal_files, rules, standalone
from exodus_certbot.certbot.installers import Hooks
from exodus_certbot.model import Certificate, KeyType
from exodus_common import seeing
from exodus_common.errors import ExodusError

ROOT = Path(__file__).parents[2]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CERTIFICATE = Certificate("aa", KeyType.ECDSA, ("exodus.example",), BEGIN, BEGIN + timedelta(days=90))
LOOKS = {"exists", "is_file", "is_dir", "is_symlink", "glob", "rglob"}

LONG = "/" + "x" * 300
ODD = ["8o80", "", "None", "80", "99999", "9" * 5000, "²", "-1", "maybe", LONG, "/a\0b/c", "x" * 300, ",", "/"]
USUAL = ["manual", "standalone", "webroot", "30 days", "9" * 9 + " years 1 year", "127.0.0.1", "/bin/true", "[::"]
HEAD = ["cert", "privkey", "chain", "fullchain", "version", "archive_dir", "renew_before_expiry"]
PARAMS = [
    *("authenticator", "installer", "account", "server", "http01_port", "http01_address", "rsa_key_size", "autorenew"),
    *("webroot_path", "pre_hook", "post_hook", "renew_hook", "deploy_hook", "manual_auth_hook", "manual_cleanup_hook"),
]
values = st.sampled_from([*ODD, *USUAL]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def look_at(folder: Path, head: Mapping[str, str], params: Mapping[str, str]) -> None:
    """Do with a renewal file whatever doctor, preflight and check do with it."""
    path = folder / "renewal/exodus.example.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [*(f"{name} = {value}" for name, value in head.items()), "[renewalparams]"]
    path.write_bytes("\n".join([*lines, *(f"{name} = {value}" for name, value in params.items())]).encode())
    files = renewal_files.all_in(folder)
    for plan in plans.made(folder, None, {}).plans:
        list(renewable.findings_of(plan, renewable.Machine(partial(standalone.why_not, held=()))))
        installers.findings_of(plan, is_used=True, adopted=(), hooks=Hooks(), is_reconciled=False)
    for rule in rules.of_lineages(files, [], ()).values():
        ages.verdict(CERTIFICATE, BEGIN, None, rule)
    for place in (place for file in files for place in file.all_webroots):
        list(webroot.findings_of(place, webroot.mounts()))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(HEAD), values), st.dictionaries(st.sampled_from(PARAMS), values))
@example({"renew_before_expiry": "900000 days"}, {"authenticator": "webroot"})
@example({"renew_before_expiry": "9" * 9 + " years"}, {"authenticator": "webroot"})
@example({"version": "9" * 5000}, {"authenticator": "webroot"})
@example({"cert": "/a\0b/live/c/cert.pem"}, {"authenticator": "webroot"})
@example(dict.fromkeys(HEAD[:4], LONG), {"authenticator": "webroot", "webroot_path": LONG})
@example({}, {"authenticator": "standalone", "http01_port": "8o80"})
@example({}, {"authenticator": "standalone", "http01_port": "99999"})
@example({}, {"authenticator": "manual", "manual_auth_hook": LONG, "renew_hook": "/a\0b"})
def test_whatever_a_renewal_file_says_is_judged(
    tmp_path_factory: pytest.TempPathFactory, head: dict[str, str], params: dict[str, str]
) -> None:
    look_at(tmp_path_factory.getbasetemp() / "odd", head, params)


def test_a_folder_that_is_no_path_takes_no_challenge() -> None:
    with (
        pytest.raises(ExodusError, match="cannot write a challenge"),
        challenge_file.placed(Path("/a\0b"), "x", "y", {0}),
    ):
        raise AssertionError("it was placed")


@pytest.mark.parametrize("path", ["/a\0b", LONG, "x" * 300, "/dev/null/x"])
def test_what_is_no_path_is_not_there(path: str) -> None:
    looks = (seeing.exists, seeing.is_file, seeing.is_folder, seeing.is_link)

    assert [look(path) for look in looks] == [False] * 4
    assert seeing.matches(Path(path), "*") == ()


def test_what_is_there_is_seen(tmp_path: Path) -> None:
    (tmp_path / "b.conf").touch()
    (tmp_path / "a.conf").symlink_to("b.conf")

    assert seeing.matches(tmp_path, "*.conf") == (tmp_path / "a.conf", tmp_path / "b.conf")
    assert [seeing.is_file(tmp_path / "a.conf"), seeing.is_link(tmp_path / "a.conf")] == [True, True]
    assert [seeing.is_folder(tmp_path), seeing.is_link(tmp_path), seeing.exists(tmp_path)] == [True, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_is_in_a_folder_that_is_closed_is_not_there(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "renewal").mkdir(parents=True)
    (closed / "renewal/a.conf").touch()
    closed.chmod(0o700)
    ask = (
        "import os, sys; from pathlib import Path; from exodus_common import seeing; os.setuid(12345)\n"
        "folder = Path(sys.argv[1])\n"
        "print(seeing.exists(folder / 'renewal'), seeing.is_file(folder / 'renewal/a.conf'), "
        "seeing.is_folder(folder / 'renewal'), seeing.is_link(folder / 'x'), seeing.matches(folder / 'renewal', '*'))"
    )

    path = os.pathsep.join([str(ROOT), str(ROOT / "hooks")])
    answered = subprocess.run(
        [sys.executable, "-P", "-c", ask, str(closed)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answered.stdout.split() == ["False", "False", "False", "False", "()"], answered.stderr


def looks_of_a_path(text: str) -> Iterator[str]:
    """Give the calls that ask a path itself; a constant of ours is no text of somebody's."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS:
            asked = ast.unparse(node.func.value)
            if not asked.isupper() and asked not in ("_libc", "os.path", "seeing"):
                yield ast.unparse(node.func)


def test_nobody_asks_a_path_itself_whether_it_is_there() -> None:
    found = {
        str(file.relative_to(ROOT)): looks
        for file in sorted((ROOT / "exodus_certbot").rglob("*.py"))
        if (looks := list(looks_of_a_path(file.read_text())))
    }

    assert found == {}
    assert list(looks_of_a_path("Path(pid).exists() and folder.glob('*')")) == ["Path(pid).exists", "folder.glob"]
