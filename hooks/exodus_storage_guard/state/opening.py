"""Open the catalogue that the settings name; what only one kind needs is imported for that kind only."""

from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from exodus_storage_guard.where import StateSettings


def opened(place: StateSettings) -> Catalogue:
    """Open the catalogue; nothing is read before something is asked."""
    return SqliteCatalogue(place.file)
