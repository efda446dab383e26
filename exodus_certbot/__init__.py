"""Make nginx serve the certificate that is on disk, and prove it over TLS.

Here are the plugin, the stories (`deploy`, `preflight`, `doctor`, `adopt`, `install`), the `inventory` that they begin
with, the decisions (`decide`, `expect`, `used_paths`) and the values they are made of; the doors and the command have
folders. Never an import: certbot loads this package with every command.
"""
