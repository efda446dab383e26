"""Say what runs in the place of the one master that was looked for, and what to do about it."""

import os
from collections.abc import Sequence

from exodus_certbot.errors import NginxApart, NginxError, NginxNotRunning, NginxUnclear
from exodus_certbot.nginx import command_line, proc
from exodus_certbot.nginx.pid_file import pid_file, pid_in_file
from exodus_certbot.nginx.program import Nginx
from exodus_certbot.nginx.running import Running, entering
from exodus_common.render import printable


def upgrading(old: int, new: int) -> NginxUnclear:
    """Say what to do while one master is to take another one's place."""
    return NginxUnclear(
        f"nginx's program is being replaced: masters {old} (the old one) and {new} both serve; finish it "
        f"(kill -QUIT {old}) or take it back (kill -HUP {old}; kill -QUIT {new}), then run: exodus-certbot reconcile"
    )


def none_is_meant(nginx: Nginx, running: Sequence[Running], several: Sequence[int], *, are_named: bool) -> NginxError:
    """Say what runs in its place; what already runs may be in the way of starting it."""
    conf, file = printable(nginx.conf), printable(pid_file(nginx))
    if several:
        return _several_are_meant(conf, file, " and ".join(map(str, several)), are_named=are_named)
    for each in running:
        if each.is_apart and each.nginx.conf == nginx.conf:
            return _apart(each, conf)
    alone = pid_in_file(nginx)
    if _is_single(alone, nginx):
        return NginxUnclear(
            f"nginx runs with {conf} as process {alone} alone (master_process off): nobody sees when it has taken up "
            f"what is on disk; take that out, or reload it by hand: kill -HUP {alone}"
        )
    why = f"nginx is not running with {conf}: its pid file {file} names no nginx master"
    return NginxNotRunning(f"{why}; {_what_next(running)}; nothing was changed")


def _several_are_meant(conf: str, file: str, pids: str, *, are_named: bool) -> NginxUnclear:
    if are_named:
        return NginxUnclear(f"masters {pids} run with {conf}, each with a pid file of its own: end all but one of them")
    return NginxUnclear(f"masters {pids} run with {conf}, {file} names neither: write the right one into it")


def _apart(running: Running, conf: str) -> NginxApart:
    """Say where to look for a master with other files; into a container one is not led from outside."""
    of_its_own = "a container or a root" if running.is_contained else "a mount namespace"
    what = "exodus-certbot in there" if running.is_contained else entering(running.pid, its_mounts=True)
    return NginxApart(
        f"nginx does not run with {conf} here, yet its master {running.pid} does in {of_its_own} of its own, "
        f"with other files than we see: run {what}; nothing was changed"
    )


def _is_single(pid: int, nginx: Nginx) -> bool:
    """Tell whether a process is an nginx that has no master: it calls itself what it was started as."""
    words = proc.title(pid).split(b"\0") if pid else [b""]
    return os.path.basename(words[0]) == os.fsencode(os.path.basename(nginx.binary)) and proc.process(pid) is not None  # noqa: PTH119 - nginx's text


def _what_next(running: Sequence[Running]) -> str:
    known = {each.pid for each in running}
    for pid in proc.pids():
        if command_line.accepts(proc.title(pid)) and proc.parent(pid) not in known:
            return (
                f"yet worker {pid} of a master that died still runs: where it holds the ports of this one, "
                "end it, then start nginx"
            )
    others = [each for each in running if each.says_conf and not each.is_apart]
    if others:
        conf = printable(others[0].nginx.conf)
        return f"yet master {others[0].pid} runs with {conf}: if that is meant, name it with --nginx-conf"
    return "start it, for example: systemctl start nginx"
