"""Measure, side by side in one run: reload until proof, handshakes a second, a check's cost, a no-op's memory.

Run as `make bench`. The physical limit is the moment at which the most eager client we can write, which does nothing
but ask, has seen the new certificate under every name. certbot-nginx's own restart is what certbot itself offers.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]
os.environ["EXODUS_COLD_STARTS"] = "1"  # what a start costs is part of what is measured

from certbot._internal.plugins.nginx.configurator import nginx_restart  # noqa: E402 - after the path is set

from exodus_certbot.inventory import Inventory, Run, take_inventory  # noqa: E402
from exodus_certbot.nginx import master, proc, reload  # noqa: E402
from exodus_certbot.settings import Settings  # noqa: E402
from exodus_certbot.tls import handshake, prove, x509  # noqa: E402
from exodus_common.clock import SystemClock  # noqa: E402
from tests.parts.authority import CertbotTree  # noqa: E402
from tests.parts.command import ExodusCertbot  # noqa: E402
from tests.parts.configuration import server  # noqa: E402
from tests.parts.nginx import NGINX, RealNginx, running_nginx  # noqa: E402
from tests.parts.ports import free_port  # noqa: E402

_HWM = """
import sys
from exodus_certbot.cli.main import main
code = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Site:
    """One nginx with `count` server blocks, each with a lineage of its own."""

    nginx: RealNginx
    tree: CertbotTree
    port: int
    count: int
    command: ExodusCertbot

    @property
    def names(self) -> list[str]:
        return [f"n{number}.example" for number in range(self.count)]

    def renew(self) -> dict[str, str]:
        """Renew every lineage without a reload; give the new fingerprint of each name."""
        lineages = {name: self.tree.issue(name) for name in self.names}
        return {name: x509.leaf_of_pem((path / "fullchain.pem").read_bytes()).sha256 for name, path in lineages.items()}

    def served(self, name: str) -> str:
        """Make one handshake."""
        tls = handshake.handshake("127.0.0.1", self.port, name, proxy_protocol=False, ciphers="", timeout_seconds=10)
        return x509.certificate_of_der(handshake.shown_leaf(tls)).sha256

    def look(self) -> tuple[Run, Inventory]:
        """Have our code look at the site, up to the moment before it reloads."""
        settings = Settings(nginx_conf=str(self.nginx.conf), certbot_dir=self.tree.folder, timeout_seconds=120)
        run = Run.begin(settings, SystemClock())
        return run, take_inventory(run, run.find_nginx())


@contextmanager
def running_site(count: int) -> Iterator[Site]:
    """Run a site in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="exodus-bench-") as name:
        folder = Path(name)
        tree, port = CertbotTree(folder / "letsencrypt"), free_port()
        lineages = [tree.issue(f"n{number}.example") for number in range(count)]
        http = "".join(server(f"127.0.0.1:{port} ssl", lineage.name, lineage) for lineage in lineages)
        with running_nginx(folder / "nginx", http) as nginx:
            yield Site(nginx, tree, port, count, ExodusCertbot(nginx.conf, tree.folder, folder / "state"))


def seconds_to_limit(site: Site) -> float:
    """Signal the master, and ask for nothing else than the new certificate until every name has shown it."""
    expected, running = site.renew(), _master(site)
    started = time.monotonic()

    def ask_until_new(name: str) -> None:
        while site.served(name) != expected[name]:
            assert time.monotonic() - started < 60, f"{name} is never served"

    master.signal_reload(running)
    # One name first: asking for all of them meanwhile would take from nginx the time it needs to reload.
    ask_until_new(site.names[0])
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(ask_until_new, site.names))
    return time.monotonic() - started


def seconds_to_our_proof(site: Site) -> float:
    """Reload and prove by our own story's steps."""
    site.renew()
    run, view = site.look()
    assert view.master is not None
    started = time.monotonic()
    reload.reload(view.master, view.error_logs, run.deadline)
    seen = prove.prove(view.expected, run.ask, run.deadline)
    seconds = time.monotonic() - started
    assert len(seen.observations) == site.count
    assert seen.is_full
    assert seen.is_right
    return seconds


def seconds_of_certbot_nginx(site: Site) -> tuple[float, int]:
    """Have certbot-nginx restart with its defaults; give also how many names still show the old certificate then."""
    expected, started = site.renew(), time.monotonic()
    nginx_restart(NGINX, str(site.nginx.conf), 1)
    seconds = time.monotonic() - started
    return seconds, sum(site.served(name) != fingerprint for name, fingerprint in expected.items())


def _master(site: Site) -> proc.Process:
    _, view = site.look()
    assert view.master is not None
    return view.master.process


def handshakes_per_second(site: Site, total: int) -> float:
    """Ask as our code asks, many at a time."""
    run, view = site.look()
    started = time.monotonic()
    prove.observe(view.expected, run.ask, run.deadline, at_least=max(1, total // site.count))
    return total / (time.monotonic() - started)


def seconds_of_check(site: Site) -> float:
    """Give the processor time of one `exodus-certbot check`, nginx's own included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert site.command("check").exit_code == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def megabytes_of_noop(site: Site) -> float:
    """Give the peak memory of our process in a reconcile that finds nothing to do; nginx's own is not ours."""
    options = ["reconcile", "-q", "--nginx-conf", str(site.nginx.conf), "--certbot-dir", str(site.tree.folder)]
    done = subprocess.run(
        [sys.executable, "-c", _HWM, *options],
        env=os.environ | site.command.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(done.stderr.split()[1]) / 1024


def spread(measure: Callable[[], float], runs: int) -> str:
    """Measure several times and show median, least and most."""
    values = [measure() for _ in range(runs)]
    return f"{statistics.median(values):7.2f}  ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print the whole comparison."""
    print("From the reload signal until every name is right, seconds: median (least to most)")
    for count, runs in ((1, 7), (100, 5), (2000, 3)):
        with running_site(count) as site:
            print(f"  {count} server blocks")
            print(f"    physical limit         {spread(partial(seconds_to_limit, site), runs)}")
            print(f"    exodus-certbot, proven {spread(partial(seconds_to_our_proof, site), runs)}")
            seconds, stale = seconds_of_certbot_nginx(site)
            print(
                f"    certbot-nginx, unasked {seconds:7.2f}  (then {stale} of {count} names show the old certificate)"
            )
            if count == 1:
                print(f"    a check, processor time{spread(partial(seconds_of_check, site), runs)}")
    for count, rounds in ((2000, 2), (10_000, 1)):
        with running_site(count) as site:
            print(f"  {count} server blocks that need nothing")
            print(f"    handshakes a second    {spread(partial(handshakes_per_second, site, rounds * count), 3)}")
            print(f"    no-op reconcile, MB    {spread(partial(megabytes_of_noop, site), 3)}", flush=True)


if __name__ == "__main__":
    main()
