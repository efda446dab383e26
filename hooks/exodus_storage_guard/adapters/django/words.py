"""What visitors are told, in their language."""

from django.utils import translation

from exodus_storage_guard import words
from exodus_storage_guard.errors import UploadRefused
from exodus_storage_guard.words import Words

_THEIRS = Words(translation.gettext, translation.ngettext)


def refused(refusal: UploadRefused) -> str:
    """Say why an upload is refused, and when to come back."""
    return words.refused(refusal, _THEIRS)
