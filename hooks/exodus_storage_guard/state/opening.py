"""Open the catalogue that the settings name; what only one kind needs is imported for that kind only."""

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.secret_file import secret
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.state.settings import StateSettings


def opened(place: StateSettings, busy_seconds: float | None = None) -> Catalogue:
    """Open the catalogue, to wait so long for others at most; nobody is asked before something is."""
    if not place.is_postgresql:
        from exodus_storage_guard.state.sqlite import SqliteCatalogue

        return SqliteCatalogue(place.file) if busy_seconds is None else SqliteCatalogue(place.file, busy_seconds)
    try:
        from exodus_storage_guard.state.postgresql import PostgresqlCatalogue
    except ImportError as error:
        raise SettingsInvalid(f"state.url: postgresql:// needs the package psycopg (3.1 or newer): {error}") from error
    return PostgresqlCatalogue(place.url, secret(place.password_file) if place.password_file else None)
