"""A setting that is true while the guard accepts no uploads: for platforms that have a switch for submissions."""


class Closed:
    """Stand for True while no upload of usual size would be admitted, and else for what `otherwise` says.

        DISABLE_SUBMISSIONS = Closed()

    It is asked for anew wherever it is judged, and an answer holds for `accepting_seconds`.
    """

    def __init__(self, *, otherwise: bool = False) -> None:
        """Take what the switch is set to by hand."""
        self._otherwise = otherwise

    def __bool__(self) -> bool:
        """Tell it: the settings are read by now, which they are not while this is being imported."""
        if self._otherwise:
            return True
        from exodus_storage_guard.adapters.django import gates

        return not gates.accepting()

    def __repr__(self) -> str:
        """Say what it is, on a page that shows settings."""
        return f"Closed(otherwise={self._otherwise})"
