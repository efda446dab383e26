"""The door to the CAs' renewal information (RFC 9773), remembered for as long as they say."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from exodus_certbot.acme import renewal_window
from exodus_certbot.certbot import lineage
from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_certbot.model import RenewalWindow
from exodus_common.clock import Clock, Deadline
from exodus_common.durable import write_atomically
from exodus_common.errors import ExodusError

_DEFAULT_RETRY = timedelta(hours=6)  # RFC 9773, section 4.3
_SHORTEST_RETRY, _LONGEST_RETRY = timedelta(minutes=1), timedelta(days=1)
_MOST_SECONDS, _MOST_SECONDS_IN_ALL = 5.0, 10.0
MEMORY = "ari.json"
_USER_AGENT = "exodus-certbot"


class RenewalInformation:
    """Ask for each lineage's window when the last answer is too old; a CA that is silent stops nobody.

    `memory_file` keeps the answers between runs, where it can be written.
    """

    def __init__(self, memory_file: Path, clock: Clock, deadline: Deadline) -> None:
        """Take up what earlier runs were told; ask at most until the deadline, and for ten seconds."""
        self._file, self._clock = memory_file, clock
        self._deadline = Deadline.after(min(_MOST_SECONDS_IN_ALL, deadline.remaining_seconds()), clock)
        self._silent: dict[str, str] = {}
        self._bases: dict[str, str | None] = {}
        self._memory = _recalled(memory_file)

    def windows(self, files: Iterable[RenewalFile]) -> tuple[RenewalWindow, ...]:
        """Give the window of each lineage whose CA offers one."""
        known = dict(self._memory)
        found = tuple(self._windows(files))
        if self._memory != known:
            with suppress(OSError):
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomically(self._file, json.dumps(self._memory, indent=1).encode(), mode=0o644)
        return found

    def remembered(self, files: Iterable[RenewalFile]) -> tuple[RenewalWindow, ...]:
        """Give the windows that the CAs named when they were last asked; ask nobody."""
        found = []
        for file in files:
            with suppress(ExodusError, ValueError, KeyError, TypeError):
                certificate = x509.load_pem_x509_certificate(lineage.read_bytes(file.live / "cert.pem"))
                known = self._memory[f"{file.params['server']} {renewal_window.certificate_id(certificate)}"]
                found.append(renewal_window.parse(file.name, {"suggestedWindow": known}))
        return tuple(found)

    def _windows(self, files: Iterable[RenewalFile]) -> Iterator[RenewalWindow]:
        for file in files:
            server = file.params.get("server")
            if not server:
                continue
            try:
                certificate = x509.load_pem_x509_certificate(lineage.read_bytes(file.live / "cert.pem"))
                window = self._window(file.name, server, renewal_window.certificate_id(certificate))
            except (ExodusError, ValueError) as error:
                window = RenewalWindow(file.name, problem=str(error))
            if window is not None:
                yield window

    def _window(self, name: str, server: str, certificate_id: str) -> RenewalWindow | None:
        remembered = self._memory.get(f"{server} {certificate_id}", {})
        now = self._clock.now()
        with suppress(ValueError, KeyError, TypeError):  # damaged: asked anew
            if now < datetime.fromisoformat(remembered["ask_again_at"]) <= now + _LONGEST_RETRY:
                return renewal_window.parse(name, {"suggestedWindow": remembered})
        base = self._base(server)
        if base is None:
            return None
        window, retry = self._ask(name, server, f"{base.rstrip('/')}/{certificate_id}")
        self._remember(f"{server} {certificate_id}", window, now + retry)
        return window

    def _remember(self, key: str, window: RenewalWindow, ask_again_at: datetime) -> None:
        now = self._clock.now().isoformat()
        self._memory = {key: value for key, value in self._memory.items() if str(value.get("ask_again_at")) > now}
        start, end = (at.isoformat() if at else "" for at in (window.start, window.end))
        self._memory[key] = {"start": start, "end": end, "ask_again_at": ask_again_at.isoformat()}

    def _base(self, server: str) -> str | None:
        """Read from a CA's directory where it answers; None where it offers no renewal information."""
        if server not in self._bases:
            self._bases[server] = None
            answer, _ = self._get(server, server)
            base = answer.get("renewalInfo") if isinstance(answer, dict) else None
            self._bases[server] = base if isinstance(base, str) else None
        return self._bases[server]

    def _ask(self, name: str, server: str, url: str) -> tuple[RenewalWindow, timedelta]:
        answer, retry = self._get(server, url)
        return renewal_window.parse(name, answer), retry

    def _get(self, server: str, url: str) -> tuple[object, timedelta]:
        """Ask a CA through acme, and not again after it was silent; raise `ExodusError` where it is."""
        if server in self._silent:
            raise ExodusError(self._silent[server])
        if self._deadline.is_past():
            raise ExodusError("there was no time left to ask its CA")
        seconds = max(1, round(min(_MOST_SECONDS, self._deadline.remaining_seconds())))
        try:
            from acme.client import ClientNetwork  # late: it costs a third of a second, and few runs ask

            answer = ClientNetwork(None, user_agent=_USER_AGENT, timeout=seconds).get(url)
            return answer.json(), _retry_after(answer.headers.get("Retry-After", ""))
        except Exception as error:  # acme, requests and josepy have no error in common
            self._silent[server] = f"the CA at {server} did not answer: {str(error)[:200]}"
            raise ExodusError(self._silent[server]) from error


def _recalled(memory_file: Path) -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError):
        found = json.loads(memory_file.read_text("utf-8"))
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, dict)}
    return {}


def _retry_after(header: str) -> timedelta:
    asked = timedelta(seconds=int(header)) if header.isdecimal() and len(header) < 10 else _DEFAULT_RETRY
    return min(max(asked, _SHORTEST_RETRY), _LONGEST_RETRY)
