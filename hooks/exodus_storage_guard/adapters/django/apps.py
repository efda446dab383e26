"""What Django installs."""

from django.apps import AppConfig


class GuardConfig(AppConfig):
    """Have the settings checked at start."""

    name = "exodus_storage_guard.adapters.django"
    label = "exodus_storage_guard"
    verbose_name = "Exodus storage guard"

    def ready(self) -> None:
        """Register the checks."""
        from exodus_storage_guard.adapters.django import checks  # noqa: F401 - registers itself
