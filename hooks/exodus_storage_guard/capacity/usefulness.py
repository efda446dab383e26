"""Tell whether what is measured would ever show that something was archived."""

from exodus_storage_guard.settings import Settings
from exodus_storage_guard.stores.locations import Folder
from exodus_storage_guard.stores.mounts import share_space


def frees_nothing(settings: Settings) -> str:
    """Say why archiving would free nothing; nothing where it would. A budget is kept on one disk as well."""
    archive = settings.archive and settings.archive.location
    measured = settings.measured_path if settings.capacity.source == "filesystem" else None
    if measured is None or not isinstance(archive, Folder) or not share_space(measured, archive.path):
        return ""
    return f"the archive {archive} lies on the filesystem that is measured ({measured}): archiving frees nothing there"
