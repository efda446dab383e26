"""Look for the programs of certbot's hooks.

certbot does so itself for those of `manual`, of cli.ini and of its command line (hooks.py, `validate_hook`); whatever
else a renewal file names is left to a shell, whose complaint stops nothing.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from exodus_common import seeing

_STANDARD_FOLDERS = ("/usr/sbin", "/usr/local/bin", "/usr/local/sbin")  # certbot adds them to PATH
_PLAIN_PATH = re.compile(r"/[\w./+@-]+")
_OF_MANUAL = ("manual_auth_hook", "manual_cleanup_hook")
_OF_SHELL = ("pre_hook", "post_hook", "deploy_hook", "renew_hook")


def faults(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Map each hook option of a lineage whose program is not there to what is wrong with it."""
    looked_at = [(option, _not_there) for option in _OF_SHELL]
    if settings.get("authenticator") == "manual":
        is_validated = settings.get("validate_hooks") != "False"
        # Without certbot's own look a missing cleanup leaves something behind, and the renewal succeeds.
        looked_at += [(option, _refused) for option in _OF_MANUAL] if is_validated else [(_OF_MANUAL[0], _not_there)]
    path = os.pathsep.join((environ.get("PATH", os.defpath), *_STANDARD_FOLDERS))
    found = {option: look(option, settings[option], path) for option, look in looked_at if settings.get(option)}
    return {option: fault for option, fault in found.items() if fault}


def _refused(option: str, command: str, path: str) -> str:
    """Judge the first word as certbot does: to it there is no shell."""
    kind, word = option.removesuffix("_hook").replace("_", "-"), _first_word(command)
    if not word:
        return f"{kind}-hook command is blank"
    if shutil.which(word, path=path) or not _may_be_judged(word):
        return ""
    if seeing.exists(word):
        return f"{kind}-hook command {word} exists, but is not executable"
    return f"Unable to find {kind}-hook command {word} in the PATH"


def _not_there(option: str, command: str, path: str) -> str:
    """Judge a plain path alone: a shell knows words that are no programs."""
    word = _first_word(command)
    if not _PLAIN_PATH.fullmatch(word) or not _refused(option, command, path):
        return ""
    return f"{word} is {'not executable' if seeing.exists(word) else 'not there'}"


def _first_word(command: str) -> str:
    return (command.split() or [""])[0]


def _may_be_judged(word: str) -> bool:
    """Tell whether what we miss is missing for root as well, who may look and execute where we may not."""
    if os.geteuid() == 0 or "/" not in word:
        return True
    folder = next((place for place in Path(word).absolute().parents if seeing.is_folder(place)), "/")
    return not seeing.exists(word) and os.access(folder, os.X_OK)
