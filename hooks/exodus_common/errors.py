"""Errors by meaning: each class knows the exit code that CONTRACT promises for it."""


class ExodusError(Exception):
    """Say that a promise could not be kept: what, where, what to do next."""

    exit_code = 1


class UsageError(ExodusError):
    """Say that the command line contradicts itself or leaves out what is needed."""

    exit_code = 2


class TryLater(ExodusError):
    """Say that the work is sound and only the moment is wrong (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class SettingsInvalid(ExodusError):
    """Say which file and key are wrong, what was found and what is allowed (EX_CONFIG of sysexits.h)."""

    exit_code = 78
