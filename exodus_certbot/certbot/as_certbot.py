"""Say, as JSON, what certbot makes of its renewal files: run by the Python of the certbot that is asked.

It calls what `certbot renew` calls before it renews (certbot/_internal/renewal.py), takes no lock, writes nothing and
asks no CA. These are certbot's own insides: where they have changed, there is no answer, and the files are read by us.
"""

import argparse
import copy
import json
import logging
import sys
from typing import Any

# Those that say how a renewal goes; certbot 5.3 and newer has `deploy_hook` alone.
_KEPT = (
    *("authenticator", "installer", "account", "http01_port", "http01_address", "autorenew", "pre_hook", "post_hook"),
    *("renew_hook", "deploy_hook", "manual_auth_hook", "manual_cleanup_hook", "validate_hooks"),
    *("webroot_path", "directory_hooks"),
)


class _Words(logging.Handler):
    """Keep what certbot complains of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def answer(certbot_dir: str, scratch_dir: str) -> dict[str, Any]:
    """Give, for each renewal file, the merged settings that a renewal would have, or why certbot passes over it."""
    from certbot._internal import renewal, storage
    from certbot._internal.plugins import disco

    words = _Words()
    logging.getLogger("certbot").addHandler(words)
    logging.getLogger("certbot").propagate = False
    # It would mend links that a crash left, which is a change.
    storage.RenewableCert._fix_symlinks = lambda self: None  # type: ignore[method-assign]
    plugins = disco.PluginsRegistry.find_all()
    config = _config(plugins, certbot_dir, scratch_dir)
    reconstitute = getattr(renewal, "reconstitute", None) or renewal._reconstitute  # type: ignore[attr-defined]
    found = {}
    for path in storage.renewal_conf_files(config):
        words.said.clear()
        own = copy.deepcopy(config)
        try:
            is_read = reconstitute(own, path) is not None
        except Exception as error:  # as certbot itself does
            is_read, words.said = False, [*words.said, str(error)]
        settings = {name: getattr(own, name, None) for name in _KEPT} if is_read else {}
        if is_read:
            settings["known"] = any(plugin.check_name(own.authenticator) for plugin in plugins.values())
            settings["accounts_dir"] = own.accounts_dir
        found[path] = {"problem": "" if is_read else " ".join(" ".join(words.said).split()), "settings": settings}
    return found


def _config(plugins: Any, certbot_dir: str, scratch_dir: str) -> Any:
    from certbot import configuration, errors
    from certbot._internal import cli

    folders = ["--config-dir", certbot_dir, "--work-dir", scratch_dir, "--logs-dir", scratch_dir]
    try:
        parsed = cli.prepare_and_parse_args(plugins, ["renew", "--non-interactive", *folders])
    except errors.Error as error:  # such as a hook of cli.ini that is not there
        raise SystemExit(f"certbot: error: {' '.join(str(error).split())}") from error
    # Before certbot 2.7 it is what argparse gives.
    return configuration.NamespaceConfig(parsed) if isinstance(parsed, argparse.Namespace) else parsed


if __name__ == "__main__":
    print(json.dumps(answer(*sys.argv[1:3]), default=str))
