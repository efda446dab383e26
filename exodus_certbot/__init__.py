"""Make nginx serve the certificate that is on disk, and prove it over TLS."""

__version__ = "0.1.0"
