"""What all packages need once: settings, durable files, lock, errors, output, stopping. Never a word of nginx or S3."""

__version__ = "0.1.0"
