"""Run our own command `deploy` beside the certbot that is about to end."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from exodus_certbot.certbot import handover
from exodus_common.process import run


def deploy(
    certbot_dir: Path, folders: Iterable[Path], timeout_seconds: float, environ: Mapping[str, str]
) -> tuple[int, str]:
    """Have these lineages served by a new process of this Python; give its exit code and what it said."""
    argv = [sys.executable, "-P", "-m", "exodus_certbot", "deploy", "--certbot-dir", str(certbot_dir)]
    argv += [word for folder in folders for word in ("--lineage", str(folder))]
    # Without the plugin's mark, by which it would leave the work to the plugin.
    own = {name: value for name, value in environ.items() if name != handover.VARIABLE}
    env = own | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = run(argv, timeout_seconds=timeout_seconds, env=env)
    return done.exit_code, (done.stdout + done.stderr).decode("utf-8", "replace").strip()
