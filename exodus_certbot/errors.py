"""Errors of the certificate half: each class knows its exit code and how bad it is for whoever monitors us."""

from typing import ClassVar

from exodus_certbot.model import Overall
from exodus_common.errors import ExodusError


class NginxError(ExodusError):
    """Say that nginx could not be asked, so that nothing can be said about what it serves."""

    verdict: ClassVar[Overall] = Overall.UNKNOWN


class NginxConfigInvalid(NginxError):
    """Say that nginx rejects its configuration, in nginx's own words: a restart now would take the sites down."""

    verdict: ClassVar[Overall] = Overall.CRITICAL


class NginxNotRunning(NginxError):
    """Say that no nginx runs with this configuration; it is not started, and nothing is changed."""

    verdict: ClassVar[Overall] = Overall.CRITICAL


class NginxUnclear(NginxError):
    """Say that it cannot be told which nginx is meant, or that it is not to be reached from here."""


class NginxApart(NginxUnclear):
    """Say that the nginx that is meant has other files or listeners than those that we see: who asks, asks another."""


class TimeUp(NginxError):
    """Say that the time for a run ended before nginx could be told to reload."""


class ReloadFailed(NginxError):
    """Say that nginx was told to reload and did not take up the configuration."""

    verdict: ClassVar[Overall] = Overall.CRITICAL
