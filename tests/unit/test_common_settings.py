"""Settings are what the file says, or one line says which key is wrong and never what a secret is."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common import settings
from exodus_common.errors import SettingsInvalid

FILE = Path("/etc/exodus-test.toml")


class Action(StrEnum):
    ARCHIVE = "archive"
    PRUNE = "prune"


@dataclass(frozen=True)
class Store:
    url: str
    access_key: str | None = None
    secret_key_file: Path | None = None

    def __post_init__(self) -> None:
        if "forbidden" in (self.access_key or "") or self.url.endswith("forbidden"):
            raise ValueError(f"url {self.url!r} contradicts access_key {self.access_key}")


@dataclass(frozen=True)
class Forge:
    kind: Literal["github", "gitlab", 1]
    api_token: str = ""


@dataclass(frozen=True)
class Settings:
    store: Store | None = None
    forge: tuple[Forge, ...] = ()
    channels: tuple[str, ...] = ()
    action: Action = Action.ARCHIVE
    timeout_seconds: float = 10.0
    parallel: int = 4
    reserve: int | str = 0
    verify: bool = True
    state: Path = Path("/var/lib/exodus-test")
    names: tuple[str, ...] = field(default_factory=tuple)
    computed: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if self.parallel == 0:
            raise ValueError("parallel is 0; allowed: 1 or more")


def read(tmp_path: Path, text: str | bytes) -> Settings:
    file = tmp_path / "exodus-test.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load(Settings, default_path=FILE, option=file, variable="EXODUS_TEST_CONFIG", environ={})


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """Return the message, less the file's name that every one begins with."""
    with pytest.raises(SettingsInvalid) as error:
        read(tmp_path, text)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/exodus-test.toml: ")
    assert "\n" not in message
    assert error.value.exit_code == 78
    return message.removeprefix(f"{tmp_path}/exodus-test.toml: ")


def test_reads_every_type(tmp_path: Path) -> None:
    text = """
        channels = ["mailto://a", "b"]
        action = "prune"
        timeout_seconds = 3
        parallel = 2
        reserve = "1 GiB"
        verify = false
        state = "/srv/state"
        [store]
        url = "s3://exodus"
        secret_key_file = "/etc/key"
        [[forge]]
        kind = "github"
        [[forge]]
        kind = 1
        api_token = "t"
    """
    found = read(tmp_path, text)
    assert found == Settings(
        store=Store("s3://exodus", None, Path("/etc/key")),
        forge=(Forge("github"), Forge(1, "t")),
        channels=("mailto://a", "b"),
        action=Action.PRUNE,
        timeout_seconds=3.0,
        parallel=2,
        reserve="1 GiB",
        verify=False,
        state=Path("/srv/state"),
    )
    assert isinstance(found.timeout_seconds, float)
    assert isinstance(found.action, Action)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Settings()


def load_from(environ: dict[str, str], default: Path, option: Path | None = None) -> Settings:
    return settings.load(Settings, default_path=default, option=option, variable="EXODUS_TEST_CONFIG", environ=environ)


def test_option_wins_over_environment_and_environment_over_default(tmp_path: Path) -> None:
    for number, name in enumerate(("default", "environment", "option"), 1):
        (tmp_path / name).write_text(f"parallel = {number}")
    environ = {"EXODUS_TEST_CONFIG": str(tmp_path / "environment")}
    assert load_from({}, tmp_path / "default").parallel == 1
    assert load_from(environ, tmp_path / "default").parallel == 2
    assert load_from(environ, tmp_path / "default", tmp_path / "option").parallel == 3


def test_an_absent_default_means_the_defaults_and_so_does_an_empty_variable(tmp_path: Path) -> None:
    assert load_from({}, tmp_path / "absent") == Settings()
    assert load_from({"EXODUS_TEST_CONFIG": ""}, tmp_path / "absent") == Settings()


def test_refuses_an_absent_file_that_was_named_and_says_by_whom(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("")
    with pytest.raises(SettingsInvalid, match="absent: does not exist, yet is named by --config; write it or"):
        load_from({}, tmp_path / "default", tmp_path / "absent")
    with pytest.raises(SettingsInvalid, match="absent: does not exist, yet is named by EXODUS_TEST_CONFIG;"):
        load_from({"EXODUS_TEST_CONFIG": str(tmp_path / "absent")}, tmp_path / "default")


def test_refuses_a_default_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "default").symlink_to("absent")
    with pytest.raises(SettingsInvalid, match="default: does not exist"):
        load_from({}, tmp_path / "default")


def test_says_that_a_required_table_needs_a_file_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"url: found nothing; required: a string \(the file does not exist\)$"):
        settings.load(Store, default_path=tmp_path / "absent", option=None, variable="X", environ={})


def test_refuses_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read: Is a directory; allowed: a file this user may read"):
        load_from({}, FILE, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "paralel = 3",
            "key paralel: found an unknown key (did you mean parallel?); allowed: store, forge, channels, ",
        ),
        ("[store]\nurl = 's'\nregoin = 1", "key store.regoin: found an unknown key; allowed: url, access_key, "),
        ("computed = 'x'", "key computed: found an unknown key"),
        ('"a b\\n" = 1', 'key "a b\\n": found an unknown key'),
        (
            "[[forge]]\nkind = 'github'\n[[forge]]\nknd = 2",
            "key forge[1].knd: found an unknown key (did you mean kind?)",
        ),
        ("[store]", "key store.url: found nothing; required: a string"),
        ("[[forge]]", 'key forge[0].kind: found nothing; required: one of "github", "gitlab", 1'),
        ("parallel = true", "key parallel: found true; allowed: a whole number of 64 bits"),
        ("parallel = 1.0", "key parallel: found 1.0; allowed: a whole number of 64 bits"),
        ("parallel = '4'", 'key parallel: found the string "4"; allowed: a whole number of 64 bits'),
        (f"parallel = {2**63}", "key parallel: found a whole number (not shown); allowed: a whole number of 64 bits"),
        ("parallel = 0x" + "f" * 9999, "key parallel: found a whole number (not shown); allowed: a whole number of 64"),
        ("timeout_seconds = nan", "key timeout_seconds: found nan; allowed: a finite number"),
        ("timeout_seconds = inf", "key timeout_seconds: found inf; allowed: a finite number"),
        ("timeout_seconds = false", "key timeout_seconds: found false; allowed: a finite number"),
        ("verify = 1", "key verify: found 1; allowed: true or false"),
        ("verify = 2026-01-31", "key verify: found a date; allowed: true or false"),
        ("verify = 09:00:00", "key verify: found a time; allowed: true or false"),
        ("state = ''", 'key state: found the string ""; allowed: a path (a string, not empty)'),
        ('state = "a\\u0000b"', 'key state: found the string "a\\u0000b"; allowed: a path (a string, not empty)'),
        ("reserve = true", "key reserve: found true; allowed: a whole number of 64 bits or a string"),
        ("action = 'delete'", 'key action: found the string "delete"; allowed: one of "archive", "prune"'),
        ("[[forge]]\nkind = true", 'key forge[0].kind: found true; allowed: one of "github", "gitlab", 1'),
        ("channels = 'a'", 'key channels: found the string "a"; allowed: an array (of: a string)'),
        ("channels = ['a', 2]", "key channels[1]: found 2; allowed: a string"),
        ("forge = {kind = 'github'}", "key forge: found a table; allowed: an array (of: a table)"),
        ("store = ['s3://x']", "key store: found an array; allowed: a table"),
        (f"verify = '{'x' * 99}'", f'key verify: found the string "{"x" * 60}…"; allowed: true or false'),
        ('verify = "\\u001b[31m\\n"', 'key verify: found the string "\\u001b[31m\\n"; allowed: true or false'),
        ("parallel = 0", "parallel is 0; allowed: 1 or more"),
    ],
)
def test_refuses_and_names_key_what_was_found_and_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"parallel = \xff", "byte 11 is not UTF-8; save the file as UTF-8"),
        ("parallel = ", "is not TOML: Invalid value (at end of document)"),
        ("parallel = 1\nparallel = 2\n", "is not TOML: Cannot overwrite a value (at line 2, column 13)"),
        ("parallel = " + "9" * 5000, "is not TOML: "),
        ("channels = " + "[" * 100_000, "is nested too deeply"),
    ],
)
def test_refuses_a_file_that_is_not_toml(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "[store]\nurl = 1\naccess_key = 'hunter2'",
        "[store]\nurl = 's'\naccess_key = ['hunter2']",
        "[store]\nurl = 's'\naccess_key = {hunter2 = 'hunter2'}",
        "[[forge]]\nkind = 'https://user:hunter2@example.org'",
        "[[forge]]\nkind = 'user:hunter2@example.org'",
        "[[forge]]\nkind = 'see https://user:hunter2@example.org'",
        "[[forge]]\nkind = 'discord://1/hunter2'",
        "[[forge]]\nkind = 'host=db password=hunter2'",
        "[[forge]]\nkind = '-----BEGIN PRIVATE KEY----- hunter2'",
        "channels = 'mailto://user:hunter2@example.org'",
        "[store]\nurl = 's'\naccess_key = 'forbidden hunter2'",
        '[store]\nurl = "s"\naccess_key = "forbidden hunter2 \\" \\\\"',
        "[store]\nurl = 'https://user:hunter2@forbidden'",
        "acess_key = 'hunter2'",
        "password = hunter2",
        "[store]\npassword = 'hunter2'",
    ],
)
def test_never_shows_a_secret(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("key", "is_shown"),
    [
        ("api_key", False),
        ("api_token", False),
        ("api_secret", False),
        ("smtppassword", False),
        ("key", False),
        ("key_type", True),
        ("token_file", True),
        ("monkey", True),
    ],
)
@pytest.mark.parametrize("value", ["hunter2", 4711, 4711.5])
def test_hides_strings_and_numbers_by_the_end_of_the_key(key: str, is_shown: bool, value: object) -> None:
    cls: Any = type("Settings", (), {"__annotations__": {key: bool}})
    with pytest.raises(SettingsInvalid) as error:
        settings.build(dataclass(frozen=True)(cls), {key: value}, file=FILE)
    assert (str(value) in str(error.value)) is is_shown


def test_shows_of_a_url_only_the_scheme(tmp_path: Path) -> None:
    assert "found a URL (https://…); allowed:" in refusal(tmp_path, "verify = 'https://user:pw@example.org'")


def test_names_the_table_that_contradicts_itself(tmp_path: Path) -> None:
    text = "[store]\nurl = 'forbidden'\naccess_key = 'hunter2'"
    assert refusal(tmp_path, text) == "key store: url 'forbidden' contradicts access_key (not shown)"


def test_the_chain_of_causes_shows_no_secret_either(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as error:
        read(tmp_path, "[store]\nurl = 's'\naccess_key = 'forbidden hunter2'")
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


@pytest.mark.parametrize("kind", [dict[str, str], tuple[int, str], bytes, Any])
def test_tells_the_programmer_which_annotation_settings_cannot_hold(kind: Any) -> None:
    cls: Any = type("Settings", (), {"__annotations__": {"key_type": kind}})
    with pytest.raises(TypeError):
        settings.build(dataclass(frozen=True)(cls), {"key_type": ["x", "y"]}, file=FILE)


leaves = st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.dates() | st.times()
keys = st.text() | st.sampled_from(["store", "forge", "channels", "reserve", "state", "url", "access_key", "kind"])
tables = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=10)


@given(st.dictionaries(keys, tables))
def test_builds_or_refuses_any_table_in_one_line(table: dict[str, Any]) -> None:
    message = ""
    try:
        settings.build(Settings, table, file=FILE)
    except SettingsInvalid as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    message.encode()
