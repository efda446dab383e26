"""Decide whose a state is: it remembers the store that it is of, and goes on with no other."""

from collections.abc import Mapping

from exodus_common.errors import SettingsInvalid
from exodus_common.terminal import printable

STORE, ARCHIVE = "store", "archive"
"""What is settled of a state: the identity of its store, and the id in its archive's mark."""
_NAME_OF = "archive:"


def name_of(archive_id: str) -> str:
    """Say under what it is settled how an archive with this id was called."""
    return f"{_NAME_OF}{archive_id}"


def called(known: Mapping[str, str], archive_id: str) -> str:
    """Name an archive that the state knew once, to people."""
    named = known.get(name_of(archive_id))
    return f"the archive {named}" if named else f"the archive whose mark has the id {printable(archive_id)}"


def refuse_another_store(known: Mapping[str, str], named: str) -> None:
    """Raise `SettingsInvalid` where the state is that of another store than the one that the settings name."""
    mine = known.get(STORE)
    if mine is not None and mine != named:
        raise SettingsInvalid(
            f"the state (state.url) is that of the store {printable(mine)}, and store.url names {printable(named)}: "
            "each store has a state of its own. If it is the same store, moved or under another name: "
            "exodus-storage-guard init --new-store"
        )
