"""The door to the file into which an nginx master writes its process id."""

import os
import re
from pathlib import Path

from exodus_certbot.nginx import config, files, proc
from exodus_certbot.nginx.config import ConfigUnreadable
from exodus_certbot.nginx.program import Nginx

_PID_DIRECTIVE = re.compile(rb"(?:^|[\s;}])pid\s+[\"']?([^\s\"';]+)[\"']?\s*;")


def pid_in_file(nginx: Nginx) -> int:
    """Give the process id that stands in it, 0 where none does."""
    try:
        return int(files.file_bytes(pid_file(nginx)).strip() or b"0")
    except (OSError, ValueError):
        return 0


def pid_file(nginx: Nginx) -> str:
    """Give the file for the master's process id; a configuration that is broken elsewhere must not hide the master."""
    try:
        said = (*config.parse(nginx.directives, file="-g"), *files.main_directives(nginx.conf))
        named = [directive.args[0] for directive in said if directive.name == "pid" and directive.args]
    except ConfigUnreadable:
        named = [os.fsdecode(found) for found in _PID_DIRECTIVE.findall(proc.bytes_of(Path(nginx.conf)))]
    return nginx.full_path(named[0] if named else nginx.default_pid_file)
