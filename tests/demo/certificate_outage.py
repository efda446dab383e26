"""The certificate outage of January 2019, with a real nginx, certbot and CA: as it was, and with exodus-certbot.

Run as `make demo`. Everything happens on loopback ports, in a temporary folder that is gone afterwards. What is told is
checked while it is told, by handshakes of the story's own; it exits with 1 at the first step that does not happen.
"""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from tests.demo.telling import Step, Teller, play, tell  # noqa: E402 - after the path is set
from tests.parts.certbot import HOOK, SYSTEM_PATH, RealCertbot, newest_certbot, write_program  # noqa: E402
from tests.parts.command import Ran  # noqa: E402
from tests.parts.configuration import challenge_server, server, workers_as_myself  # noqa: E402
from tests.parts.nginx import NGINX, RealNginx, running_nginx  # noqa: E402
from tests.parts.pebble import running_pebble  # noqa: E402
from tests.parts.ports import free_port  # noqa: E402
from tests.parts.processes import end_of, run  # noqa: E402
from tests.parts.witness import all_served_sha256, disk_sha256, served_sha256, worker_pids  # noqa: E402

NAME = "exodus.example"
_SECONDS_TO_OPEN = 15.0
_HANDSHAKES = 12


@dataclass(frozen=True)
class Stage:
    """Where the story plays: a folder, an nginx that runs in it, and a certbot whose CA is on this machine."""

    teller: Teller
    certbot: RealCertbot
    nginx: RealNginx
    http_port: int
    tls_port: int

    @property
    def folder(self) -> Path:
        return self.certbot.folder

    def type(self, command: str) -> Ran:
        """Run a command exactly as it is shown, and show what it prints."""
        self.teller.typed(command)
        there = f"cd {shlex.quote(str(self.folder))} && {command}"
        ran = run(["/bin/sh", "-c", there], env=self.certbot.env(), together=True)
        self.teller.output(ran.stdout)
        return ran

    def on_disk(self) -> str:
        return disk_sha256(self.certbot.live(NAME))

    def served(self) -> str:
        """Give what all of many handshakes show; where they differ, give all of it."""
        return " and ".join(sorted(all_served_sha256(self.tls_port, NAME, handshakes=_HANDSHAKES)))

    def show_both(self) -> None:
        self.teller.facts(on_disk=self.on_disk(), served=self.served())

    def saw_success(self, ran: Ran, claim: str) -> None:
        self.teller.saw(ran.exit_code == 0, claim, f"Its exit code was {ran.exit_code}.")

    def saw_new_on_disk(self, old: str) -> None:
        self.teller.saw(self.on_disk() != old, "a new certificate is on disk", f"It still is {old}.")

    def saw_served_is_disk(self) -> None:
        disk, served = self.on_disk(), self.served()
        claim = f"nginx serves the certificate that is on disk: {_HANDSHAKES} handshakes of our own show it"
        self.teller.saw(served == disk, claim, f"On disk is {disk}, served is {served}.")

    def saw_served_is_old(self, old: str) -> None:
        self.saw_new_on_disk(old)
        served = self.served()
        claim = f"nginx serves the old one still: {_HANDSHAKES} handshakes of our own show it"
        self.teller.saw(served == old, claim, f"Old is {old}, served is {served}.")


def main() -> int:
    """Tell the story; give the exit code."""
    needed = (NGINX, "pebble", "pebble-challtestsrv", newest_certbot())
    missing = [Path(program).name for program in needed if shutil.which(program) is None]
    if missing:
        print(f"This needs {', '.join(missing)}: run `make demo`, which installs it first.", file=sys.stderr)
        return 1
    return tell(_story)


def _story(teller: Teller) -> int:
    begin = time.monotonic()
    with TemporaryDirectory(prefix="exodus-demo-") as folder, _stage(teller, Path(folder)) as stage:
        _introduce(stage)
        steps = _steps(stage)
        exit_code = play(teller, steps, lambda: _evidence(stage))
    if exit_code == 0:
        assert not Path(folder).exists()
        teller.line(f"{time.monotonic() - begin:.0f} seconds; every server is ended and {folder} removed.")
        teller.line(f"All {len(steps)} steps happened.")
    return exit_code


def _steps(stage: Stage) -> list[tuple[str, Step]]:
    return [
        ("A certificate is issued, and nginx serves it", lambda: issue(stage)),
        ("January 2019: it is renewed, and nobody reloads nginx", lambda: renew_as_in_2019(stage)),
        ("exodus-certbot check sees it", lambda: see_the_outage(stage)),
        ("exodus-certbot reconcile repairs it, and proves it", lambda: repair_the_outage(stage)),
        ("With the hook, a renewal does it all by itself", lambda: renew_with_the_hook(stage)),
        ("nginx.conf is broken at a renewal: nothing gets worse", lambda: survive_a_broken_configuration(stage)),
        ("With the plugin, certbot itself fails, and repairs what it missed", lambda: renew_with_the_plugin(stage)),
    ]


@contextmanager
def _stage(teller: Teller, folder: Path) -> Iterator[Stage]:
    http_port, tls_port, webroot = free_port(), free_port(), folder / "webroot"
    webroot.mkdir()
    http_only = challenge_server(http_port, webroot)
    with (
        running_pebble(folder / "pebble", http_port) as pebble,
        running_nginx(folder / "nginx", http_only, main=workers_as_myself()) as nginx,
    ):
        certbot = RealCertbot(folder, pebble, webroot, environment=_surroundings(folder))
        stage = Stage(teller, certbot, nginx, http_port, tls_port)
        _write_programs(stage)
        yield stage


def _surroundings(folder: Path) -> dict[str, str]:
    """Give what certbot and its hooks find in their environment: our commands first on PATH, and their settings."""
    return {
        "PATH": f"{folder}/bin:{SYSTEM_PATH}",
        "EXODUS_CERTBOT_CONFIG": f"{folder}/exodus-certbot.toml",
        "STATE_DIRECTORY": f"{folder}/state",
    }


def _write_programs(stage: Stage) -> None:
    """Put the commands that are typed on PATH, so that they stay in this folder without long options."""
    bin_folder = stage.folder / "bin"
    account = ["--agree-tos", "--register-unsafely-without-email", "--no-random-sleep-on-renew"]
    write_program(bin_folder / "certbot", *stage.certbot.argv(*account))
    write_program(bin_folder / "nginx", NGINX, "-c", str(stage.nginx.conf))
    installed = Path(sys.executable).parent / "exodus-certbot"
    if installed.exists():
        write_program(bin_folder / "exodus-certbot", str(installed))
    else:
        checkout = [sys.executable, "-P", "-m", "exodus_certbot"]
        write_program(bin_folder / "exodus-certbot", *checkout, PYTHONPATH=f"{ROOT}:{ROOT / 'hooks'}")
    settings = {"nginx": NGINX, "nginx_conf": stage.nginx.conf, "certbot_dir": stage.certbot.config_dir}
    lines = [f"{key} = {json.dumps(str(value), ensure_ascii=False)}\n" for key, value in settings.items()]
    (stage.folder / "exodus-certbot.toml").write_text("".join(lines), encoding="utf-8")


def _introduce(stage: Stage) -> None:
    stage.teller.title("The certificate outage of January 2019, played on this machine")
    stage.teller.say(
        "nginx, certbot and exodus-certbot are real; the CA is Pebble, Let's Encrypt's own test server. They use "
        f"loopback ports only, and live in {stage.folder}, which is removed at the end. The commands are run there, as "
        "they are shown (its bin/ is first on PATH, and adds the options that keep them there); what they print is "
        "shown as it is, less blank lines and certbot's rulers."
    )


def issue(stage: Stage) -> None:
    say = stage.teller.say
    say("The CA asks for a file that only the owner of the site can put there; nginx serves it from the webroot.")
    issued = stage.type(f"certbot certonly --quiet --webroot -w webroot -d {NAME}")
    stage.saw_success(issued, "certbot got a certificate\n")
    say("Now nginx.conf names it, and nginx is reloaded by hand, as everybody does the first time.")
    tls = server(f"127.0.0.1:{stage.tls_port} ssl", NAME, stage.certbot.live(NAME))
    stage.nginx.write(challenge_server(stage.http_port, stage.certbot.webroot) + tls, main=workers_as_myself())
    stage.saw_success(stage.type("nginx -s reload"), "nginx was told to reload")
    stage.teller.saw(_opens(stage), "nginx speaks TLS", f"It did not within {_SECONDS_TO_OPEN} s.")
    stage.show_both()
    stage.saw_served_is_disk()


def _opens(stage: Stage) -> bool:
    """Ask until nginx has opened its new port."""
    deadline = time.monotonic() + _SECONDS_TO_OPEN
    while time.monotonic() < deadline:
        with suppress(OSError):
            return bool(served_sha256(stage.tls_port, NAME))
        time.sleep(0.01)
    return False


def renew_as_in_2019(stage: Stage) -> None:
    old = stage.on_disk()
    stage.teller.say(
        "Two months later (--force-renewal stands for them) a script renews the certificate. It does what the script "
        "of 2019 did, letsencrypt renew --webroot, and forgets that nginx reads a certificate only when it is reloaded."
    )
    renewed = stage.type("certbot renew --webroot -w webroot --force-renewal")
    stage.saw_success(renewed, "certbot is content: exit code 0")
    stage.show_both()
    stage.saw_served_is_old(old)
    stage.teller.line()
    stage.teller.say(
        "No error, no mail. The old certificate is good for some weeks; on the day it expires, every browser refuses "
        "the site. That was the outage."
    )


def see_the_outage(stage: Stage) -> None:
    disk, served = stage.on_disk(), stage.served()
    stage.teller.say("It asks every listener of nginx for every name over TLS, and compares the answer with the disk.")
    checked = stage.type("exodus-certbot check")
    saw = stage.teller.saw
    saw(
        checked.exit_code == 1,
        "its exit code is 1: cron, systemd and monitoring notice",
        f"It was {checked.exit_code}.",
    )
    saw("stale" in checked.stdout, "it calls the listener stale")
    both = served[:12] in checked.stdout and disk[:12] in checked.stdout
    saw(both, "it names the two fingerprints that we saw ourselves", f"They are {served[:12]} and {disk[:12]}.")
    saw(stage.served() == served, "it only looked: nginx serves what it served before")


def repair_the_outage(stage: Stage) -> None:
    say, saw = stage.teller.say, stage.teller.saw
    say("It reloads nginx where that helps, and is done only when handshakes show the new certificate.")
    before = worker_pids(stage.nginx.pid)
    stage.saw_success(stage.type("exodus-certbot reconcile"), "exit code 0: the promise is kept")
    stage.show_both()
    stage.saw_served_is_disk()
    after = worker_pids(stage.nginx.pid)
    saw(not before & after, "nginx was reloaded: all its workers are new ones\n", f"They were {before}, then {after}.")
    say("A timer may run it as often as it likes: nearly always there is nothing to do.")
    stage.saw_success(stage.type("exodus-certbot reconcile"), "exit code 0 again")
    now = worker_pids(stage.nginx.pid)
    saw(now == after, "nothing was reloaded: the same workers run", f"They were {after}, then {now}.")


def renew_with_the_hook(stage: Stage) -> None:
    old = stage.on_disk()
    stage.teller.say("One file in certbot's own hook folder, and every renewal ends with the same proof.")
    installed = stage.type(f"cp {shlex.quote(str(HOOK))} letsencrypt/renewal-hooks/deploy/")
    stage.saw_success(installed, "the hook is installed\n")
    stage.saw_success(stage.type("certbot renew --force-renewal"), "certbot is content: exit code 0")
    stage.show_both()
    stage.saw_new_on_disk(old)
    stage.saw_served_is_disk()


def survive_a_broken_configuration(stage: Stage) -> None:
    old, saw = stage.on_disk(), stage.teller.saw
    stage.teller.say("Somebody left a typo in nginx.conf. nginx runs on with what it has; then comes the renewal.")
    stage.saw_success(stage.type("echo 'servre { }' >> nginx/nginx.conf"), "nginx.conf is broken\n")
    renewed = stage.type("certbot renew --force-renewal")
    said = all(text in renewed.stdout for text in ("nginx rejects", '"servre"', "then run: exodus-certbot reconcile"))
    saw(said, "the hook says what is wrong, where, and what to do next", "It did not.")
    stage.saw_success(renewed, "certbot takes a failing hook for a warning: its exit code is 0 all the same")
    stage.show_both()
    stage.saw_served_is_old(old)
    stage.teller.line()
    _mend(stage)


def _mend(stage: Stage) -> None:
    stage.teller.say("The new certificate waits on disk. The typo is mended, and the CA need not be asked again.")
    asked = stage.certbot.pebble.requests
    stage.saw_success(stage.type("sed -i '$d' nginx/nginx.conf"), "nginx.conf is mended\n")
    stage.saw_success(stage.type("exodus-certbot reconcile"), "exit code 0: the promise is kept")
    stage.show_both()
    stage.saw_served_is_disk()
    stage.teller.saw(stage.certbot.pebble.requests == asked, "the CA was not asked for anything")


def renew_with_the_plugin(stage: Stage) -> None:
    say, saw = stage.teller.say, stage.teller.saw
    say("A hook's failure is a warning to certbot. An installer's is not: adopt writes one line into the renewal file.")
    adopted = stage.type(f"exodus-certbot adopt {NAME}")
    stage.saw_success(adopted, "certbot calls our plugin from now on\n")
    old = stage.on_disk()
    say("The same typo, and the same renewal. The hook is installed still; it leaves the work to the plugin.")
    stage.saw_success(stage.type("echo 'servre { }' >> nginx/nginx.conf"), "nginx.conf is broken\n")
    renewed = stage.type("certbot renew --force-renewal")
    saw(renewed.exit_code == 1, "certbot fails: exit code 1, so its timer's unit fails", f"It was {renewed.exit_code}.")
    saw("nginx rejects" in renewed.stdout, "and it says what is wrong")
    stage.show_both()
    stage.saw_served_is_old(old)
    stage.teller.line()
    _mend_and_wait_for_certbot(stage)


def _mend_and_wait_for_certbot(stage: Stage) -> None:
    stage.teller.say("The typo is mended. Twelve hours later certbot's timer runs again, and no certificate is due.")
    waiting = stage.on_disk()
    stage.saw_success(stage.type("sed -i '$d' nginx/nginx.conf"), "nginx.conf is mended\n")
    stage.saw_success(stage.type("certbot renew"), "certbot is content: exit code 0")
    stage.show_both()
    stage.teller.saw(stage.on_disk() == waiting, "no other certificate was asked for")
    stage.saw_served_is_disk()


def _evidence(stage: Stage) -> str:
    """Give the logs that are removed together with the folder."""
    nginx_says = end_of(stage.nginx.error_log) or "(nothing)"
    return f"nginx's error log ends with:\n{nginx_says}\n\n{stage.certbot.pebble.last_words()}"


if __name__ == "__main__":
    sys.exit(main())
