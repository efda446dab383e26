"""Decide how old is too old: when a renewal is overdue, by its CA's window, else by certbot's own rule."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from exodus_certbot.model import Certificate, RenewalWindow, Verdict

# Debian's certbot.timer: twice a day, each time up to 12 h late, so that a day may lie between two runs; and an hour
# in which a run, with certbot's own pause before it, comes to its end.
_SLACK = timedelta(hours=25)
_DAY = timedelta(days=1)
_SHORT_LIFE = 10 * _DAY
_BEFORE_CERTBOT_4 = 30 * _DAY
_MOST_IF_NOBODY_RENEWS = 21 * _DAY
_READS_WINDOWS, _GOES_BY_LIFE = (4, 1), (4,)


@dataclass(frozen=True, slots=True)
class Renewal:
    """Say by which rule certbot renews a lineage.

    `window` is its CA's (RFC 9773), `renew_before` its renewal file's `renew_before_expiry`; an empty
    `certbot_version` stands for the newest.
    """

    window: RenewalWindow | None = None
    renew_before: timedelta | None = None
    certbot_version: tuple[int, ...] = ()

    @property
    def window_end(self) -> datetime | None:
        """Give the end of the CA's window, None where that is not known."""
        return self.window.end if self.window else None


def verdict(
    certificate: Certificate, now: datetime, warn_days: float | None = None, renewal: Renewal | None = None
) -> tuple[Verdict, str] | None:
    """Judge the age of what is served; None where there is nothing to say.

    `warn_days` replaces every rule; without a `renewal` nobody is known to renew it.
    """
    if certificate.not_after <= now:
        return Verdict.EXPIRED, f"expired {left(certificate, now)} ago: renew it; see: certbot certificates"
    if certificate.not_before > now:
        ahead = shown(certificate.not_before - now)
        return Verdict.EXPIRED, f"not valid for another {ahead}: clients refuse it; check the clock"
    if now > warned_from(certificate, warn_days, renewal):
        return Verdict.EXPIRING, f"only {left(certificate, now)} left{_why(certificate, warn_days, renewal)}"
    return None


def _why(certificate: Certificate, warn_days: float | None, renewal: Renewal | None) -> str:
    if warn_days is not None or renewal is None:
        return ": why was it not renewed? see: certbot certificates"
    by = "its CA wants it renewed" if renewal.window_end else "certbot renews it"
    return f": {by} before {due_at(certificate, renewal):%Y-%m-%d %H:%M UTC}; see: certbot renew --dry-run"


def warned_from(certificate: Certificate, warn_days: float | None, renewal: Renewal | None) -> datetime:
    """Give the moment after which a certificate is called expiring."""
    if warn_days is not None:
        return certificate.not_after - timedelta(days=warn_days)
    if renewal is None:
        return max(overdue_at(certificate, Renewal()), certificate.not_after - _MOST_IF_NOBODY_RENEWS)
    return overdue_at(certificate, renewal)


def overdue_at(certificate: Certificate, renewal: Renewal) -> datetime:
    """Give the moment after which certbot has had its chance: sooner than its timer allows for where life is short."""
    due = due_at(certificate, renewal)
    return due + min(_SLACK, max(timedelta(), (certificate.not_after - due) / 2))


def due_at(certificate: Certificate, renewal: Renewal) -> datetime:
    """Give the moment from which each run of certbot renews it."""
    own = max(certificate.not_before, certificate.not_after - _renewed_before(certificate, renewal))
    if renewal.window_end is None:
        return own
    is_window_read = not renewal.certbot_version or renewal.certbot_version >= _READS_WINDOWS
    # An older certbot does what it was told to, whatever its CA wants.
    is_told_otherwise = renewal.renew_before is not None and not is_window_read
    return max(own, renewal.window_end) if is_told_otherwise else max(certificate.not_before, renewal.window_end)


def _renewed_before(certificate: Certificate, renewal: Renewal) -> timedelta:
    """Give how long before its end certbot renews (its storage.py before 4.1, and renewal.py since)."""
    if renewal.renew_before is not None:
        return renewal.renew_before
    if renewal.certbot_version and renewal.certbot_version < _GOES_BY_LIFE:
        return _BEFORE_CERTBOT_4
    life = certificate.not_after - certificate.not_before
    return life / 2 if life < _SHORT_LIFE else life / 3


def left(certificate: Certificate, now: datetime) -> str:
    """Say how far its end is from now, to either side."""
    return shown(abs(certificate.not_after - now))


def shown(duration: timedelta) -> str:
    """Say a duration to a person."""
    if duration >= 2 * _DAY:
        return f"{duration.days} days"
    hours, seconds = divmod(int(duration.total_seconds()), 3600)
    return f"{hours} h {seconds // 60} min" if hours else f"{seconds // 60} min"
