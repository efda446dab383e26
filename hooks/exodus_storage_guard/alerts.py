"""The door to `exodus-alert`, where it is installed: somebody is told what goes wrong, and when it is over."""

import logging
import shutil

from exodus_common.errors import ExodusError
from exodus_common.process import run
from exodus_storage_guard.model import Verdict

_log = logging.getLogger(__name__)
_SECONDS = 30.0
_SEVERITY = {Verdict.WARNING: "warning", Verdict.CRITICAL: "critical"}


def tell(topic: str, verdict: Verdict, message: str) -> None:
    """Raise a topic, or resolve it where all is well; an alert that cannot be sent never stops the work."""
    program = shutil.which("exodus-alert")
    if program is None:
        return
    raised = ["raise", topic, "--severity", _SEVERITY.get(verdict, ""), "--message", message]
    argv = [program, *(["resolve", topic] if verdict is Verdict.OK else raised)]
    try:
        done = run(argv, timeout_seconds=_SECONDS)
    except ExodusError as error:
        _log.warning("nobody could be told: %s", error)
        return
    if done.exit_code != 0:
        _log.warning("nobody could be told: %s", done.stderr.decode("utf-8", "replace").strip()[-300:])
