"""Let the hook leave a renewal to the plugin that runs in the same certbot: both must not reload nginx.

certbot runs deploy hooks before it calls the installer, so the hook is always first.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from exodus_certbot.certbot import renewal_files

# certbot's hooks inherit its environment; its value is the folder whose lineages that certbot renews.
VARIABLE = "EXODUS_CERTBOT_PLUGIN"


def announce(certbot_dir: Path, environ: MutableMapping[str, str]) -> None:
    """Tell the hooks of this certbot that the plugin is at work."""
    environ[VARIABLE] = str(certbot_dir)


def plugin_does_it(lineages: Iterable[Path], environ: Mapping[str, str]) -> bool:
    """Tell whether the certbot that called us calls the plugin next, for each of these lineages."""
    certbot_dir = environ.get(VARIABLE)
    return bool(certbot_dir) and all(_is_ours(Path(certbot_dir or "/"), folder) for folder in lineages)


def _is_ours(certbot_dir: Path, folder: Path) -> bool:
    of_folder = [file for file in renewal_files.all_in(certbot_dir) if file.live == folder]
    return bool(of_folder) and all(file.installer == renewal_files.PLUGIN for file in of_folder)
