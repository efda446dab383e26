"""Make nginx serve the certificate that is on disk, and prove it over TLS.

Here are the plugin, the stories (`deploy`, `preflight`, `doctor`, `adopt`, `install`) and the decisions (`decide`,
`expect` and the values they are made of); the doors and the command have folders. Never an import that certbot lacks.
"""
