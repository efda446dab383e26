"""Look at every APK again, as the command for signatures does: what it reads is what matters here."""

from reports.management.commands.refreshapksignature import Command

__all__ = ["Command"]
