"""Write the pieces of nginx configuration that tests are made of."""

import os
import pwd
from pathlib import Path


def certificate_lines(*lineages: Path) -> str:
    """Give the two directives for each lineage."""
    return "".join(
        f"ssl_certificate {lineage}/fullchain.pem; ssl_certificate_key {lineage}/privkey.pem;\n" for lineage in lineages
    )


def server(listen: str, names: str, *lineages: Path, more: str = "") -> str:
    """Give one TLS server; several `listen` are separated by commas."""
    listens = "".join(f"listen {one.strip()};\n" for one in listen.split(","))
    return f"server {{\n{listens}server_name {names};\n{certificate_lines(*lineages)}{more}\nreturn 204;\n}}\n"


def challenge_server(port: int, webroot: Path) -> str:
    """Give the HTTP server from whose webroot the CA fetches its challenges."""
    return f"server {{\nlisten 127.0.0.1:{port};\nroot {webroot};\n}}\n"


def workers_as_myself() -> str:
    """Let nginx's workers read what the test may read: folders of pytest's are closed to all others."""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
