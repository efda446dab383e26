"""Find out what a run of `certbot renew` has to do with us: whose lineages, which come later, which hooks there are."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from exodus_certbot.certbot import lineage, renewal_files
from exodus_common import seeing
from exodus_common.errors import ExodusError

IsOurs = Callable[[str | None], bool]
"""Tell by the name of a lineage's installer whether its certificate is ours to have served."""


def comes_after(certbot_dir: Path, name: str, is_ours: IsOurs) -> bool:
    """Tell whether certbot would take one of our lineages after this one; it may still never reach it."""
    here = str(certbot_dir / "renewal" / f"{name}.conf")
    return any(str(file.path) > here and is_ours(file.installer) for file in renewal_files.all_in(certbot_dir))


def lineages(certbot_dir: Path, renewed: Collection[Path], is_ours: IsOurs) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Give our lineages and the renewed ones, and why others of them cannot be used: these must not stop the rest.

    What has no files at all is left out: certbot itself fails for it.
    """
    named = {file.live for file in renewal_files.all_in(certbot_dir) if is_ours(file.installer)}
    usable, problems = [], []
    for folder in sorted(named | set(renewed)):
        if folder not in renewed and not seeing.exists(folder / "fullchain.pem"):
            continue
        try:
            usable.append(lineage.open_lineage(folder, certbot_dir).folder)
        except ExodusError as error:
            problems.append(str(error))
    return tuple(usable), tuple(problems)


def may_stop_nginx(certbot_dir: Path, pre_hook: str | None, post_hook: str | None) -> bool:
    """Tell whether there are hooks that may stop nginx before renewals and start it after the last of them.

    The two commands are those of the lineage at hand; another one's may have been run as well.
    """
    files = renewal_files.all_in(certbot_dir)
    return all(
        command or any(file.params.get(f"{kind}_hook") for file in files) or scripts(certbot_dir, kind)
        for kind, command in (("pre", pre_hook), ("post", post_hook))
    )


def scripts(certbot_dir: Path, kind: str) -> tuple[Path, ...]:
    """Give what certbot runs of `renewal-hooks/KIND` (certbot/_internal/hooks.py, `list_hooks`)."""
    return tuple(path for path in seeing.matches(certbot_dir / "renewal-hooks" / kind, "*") if _is_run(path))


def _is_run(path: Path) -> bool:
    return seeing.is_file(path) and os.access(path, os.X_OK) and not path.name.endswith("~")
