"""What all Exodus packages need once: settings, durable files, locks, errors, output. Never what one of them needs."""

__version__ = "0.1.0"
