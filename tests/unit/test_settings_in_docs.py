"""The settings that the pages show are taken; on servers with the lines that are comments there, too."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from exodus_certbot.settings import Settings as CertbotSettings
from exodus_common import settings as common
from exodus_storage_guard.capacity.prometheus import figures_of
from exodus_storage_guard.settings import CapacitySettings, Settings
from tests.parts.documented import files, page, section

ROOT = Path(__file__).parents[2]


def tables_of(page: str) -> list[dict[str, Any]]:
    """Give the TOML that a page shows of our settings, each block as it is and with its comments in force."""
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    ours = [block for block in blocks if re.search(r"^\[(store|capacity)\]", block, re.MULTILINE)]
    return [tomllib.loads(text) for block in ours for text in (block, otherwise(block))]


def otherwise(block: str) -> str:
    """Have the comments of each table in force, in place of what they name, and of a path where they name a source."""
    tables = re.split(r"^(?=\[)", block, flags=re.MULTILINE)
    return "\n".join(map(_otherwise, tables))


def _otherwise(table: str) -> str:
    named = set(re.findall(r"^# (\w+) = ", table, re.MULTILINE))
    without = named | ({"path"} if "source" in named else set())
    kept = [line for line in table.splitlines() if line.partition(" = ")[0] not in without]
    return "\n".join(re.sub(r"^# (?=\w+ = )", "", line) for line in kept)


def built(tables: dict[str, Any]) -> Settings:
    usual = {"store": {"url": "directory:///srv/apks"}, "archive": {"url": "directory:///mnt/archive"}}
    return common.build(Settings, usual | tables, file=Path("guard.toml"))


@pytest.mark.parametrize("page", ["minio.md", "garage.md"])
def test_settings_that_a_page_shows_are_taken(page: str) -> None:
    found = [built(tables).capacity for tables in tables_of(page)]

    assert len(found) >= 2
    assert {one.source for one in found} >= {"filesystem"}
    assert any(one.is_remote for one in found)
    assert all(figures_of(one) for one in found if one.is_remote)


def test_a_setting_that_a_page_would_show_wrongly_is_found() -> None:
    shown = '[capacity]\nsource = "filesystem"\npath = "/x"\n# source = "prometheus"\n# total_metric = "t"\n'

    assert CapacitySettings(**tomllib.loads(shown)["capacity"]) == CapacitySettings(path="/x")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="url: found nothing"):
        built(tomllib.loads(otherwise(shown)))


WHOSE: dict[str, type] = {"/etc/exodus-certbot.toml": CertbotSettings, "/etc/exodus-storage-guard.toml": Settings}


@pytest.mark.parametrize("name", ["README.md", "docs/install.md", "docs/settings.md"])
def test_a_file_of_settings_that_a_page_shows_is_taken(name: str) -> None:
    shown = files(page(name))

    assert shown
    for path, text in shown:
        assert common.build(WHOSE[path], tomllib.loads(text), file=Path(path))


def test_the_settings_that_are_shown_first_are_the_defaults() -> None:
    ((path, text),) = files(section(page("docs/settings.md"), "The storage guard"))
    tables = tomllib.loads(text)

    assert len(tables) > 5
    assert built(tables) == built({name: tables[name] for name in ("store", "archive")}), path
