"""What the manual says of settings, and what `config` says is in force: both from the dataclasses themselves."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest

from exodus_certbot.settings import Settings as CertbotSettings
from exodus_common import described, in_force
from exodus_common.place import Place
from exodus_common.settings import Source, build
from exodus_storage_guard.settings import Settings as GuardSettings

FILE = Path("/etc/ours.toml")


@dataclass(frozen=True)
class Door:
    """Say where the door is; and who has the key.

    key_file: the file with the key, one line. Example: "/etc/key"
    color: what it is painted with.
    """

    key_file: Path
    color: Literal["red", "green"] = "red"


@dataclass(frozen=True)
class House:
    """Hold the settings of a house.

    floors: how many there are, counted from the ground as people who live there
        count them.
    names: who lives there. Example: ["Ada", "Grace"]
    password: what is whispered.
    """

    floors: float = 2.0
    names: tuple[str, ...] = ()
    password: str | None = None
    door: Door | None = None


@dataclass(frozen=True)
class Unsaid:
    """Hold a setting that nobody describes."""

    color: str = "red"


def test_a_setting_is_described_with_its_kind_default_meaning_and_example() -> None:
    own, door = described.tables(House)

    assert (own.name, door.name, door.text) == ("", "door", "Say where the door is; and who has the key.")
    assert own.settings == (
        described.Setting(
            "floors",
            "a finite number",
            "2",
            False,
            "how many there are, counted from the ground as people who live there count them.",
            "",
        ),
        described.Setting("names", "an array (of: a string)", "[]", False, "who lives there.", '["Ada", "Grace"]'),
        described.Setting("password", "a string", None, False, "what is whispered.", ""),
    )
    assert [(one.key, one.default, one.is_required) for one in door.settings] == [
        ("key_file", None, True),
        ("color", '"red"', False),
    ]


def test_a_setting_that_nobody_describes_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"Unsaid\.color: nobody says what it is"):
        list(described.tables(Unsaid))


@pytest.mark.parametrize("cls", [CertbotSettings, GuardSettings])
def test_every_setting_is_described_and_its_default_and_example_are_toml(cls: Any) -> None:
    found = list(described.tables(cls))

    assert {table.name for table in found if table.name} <= {field.name for field in fields(cls)}
    for table in found:
        for one in table.settings:
            for written in filter(None, (one.default, one.example)):
                assert list(tomllib.loads(f"{one.key} = {written}")) == [one.key]
            assert one.default or one.example or one.is_required, f"nobody could guess {table.name}.{one.key}"


@pytest.mark.parametrize(
    ("value", "written", "read"),
    [
        (True, "true", True),
        (3, "3", 3),
        (2.0, "2", 2),
        (0.25, "0.25", 0.25),
        ('a\x7f\x00"\\é', '"a\\u007f\\u0000\\"\\\\é"', 'a\x7f\x00"\\é'),
        (Path("/a b"), '"/a b"', "/a b"),
        (("a", "b"), '["a", "b"]', ["a", "b"]),
    ],
)
def test_a_value_is_written_as_toml_reads_it(value: object, written: str, read: object) -> None:
    assert described.toml(value) == written
    assert tomllib.loads(f"x = {written}")["x"] == read


def test_what_no_setting_can_be_is_not_written() -> None:
    with pytest.raises(TypeError):
        described.toml(object())


def shown(text: str, *options: str, cls: Any = House) -> str:
    table = tomllib.loads(text)
    return in_force.shown(Source(FILE, table), build(cls, table, file=FILE), options, as_json=False)


def test_each_setting_is_shown_with_where_it_comes_from() -> None:
    assert shown('names = ["Ada"]\n[door]\nkey_file = "/k"', "floors").splitlines() == [
        "floors = 2  # command line",
        'names = ["Ada"]  # /etc/ours.toml',
        "# password is not set",
        "",
        "[door]",
        'key_file = "/k"  # /etc/ours.toml',
        'color = "red"  # default',
    ]


def test_a_table_that_is_not_there_is_not_shown() -> None:
    assert "door" not in shown("floors = 3")


@pytest.mark.parametrize("text", ['password = "xyzzy"', 'names = ["https://ada:xyzzy@example.org"]'])
def test_what_may_be_a_secret_is_not_shown(text: str) -> None:
    table = tomllib.loads(text)
    built = build(House, table, file=FILE)

    for as_json in (False, True):
        said = in_force.shown(Source(FILE, table), built, as_json=as_json)
        assert "xyzzy" not in said
        assert "not shown" in said


def test_a_url_is_shown() -> None:
    assert 'names = ["https://ada@example.org"]' in shown('names = ["https://ada@example.org"]')


def test_what_is_shown_is_a_settings_file_that_says_the_same() -> None:
    text = (
        '[store]\nurl = "directory:///srv/apks"\n[archive]\nurl = "directory:///mnt/b"\n[select]\npattern = \'\\.apk$\''
    )
    table = tomllib.loads(text)

    again = tomllib.loads(shown(text, cls=GuardSettings))

    assert build(GuardSettings, again, file=FILE) == build(GuardSettings, table, file=FILE)


def test_what_the_file_says_is_told_apart_from_a_default_of_the_same_value() -> None:
    rows = in_force.in_force(Place(FILE), build(House, {"floors": 2}, file=FILE), {"floors": 2})

    assert [(row.key, row.origin) for row in rows][:2] == [("floors", str(FILE)), ("names", "default")]
