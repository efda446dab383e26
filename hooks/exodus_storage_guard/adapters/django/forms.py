"""Have a form say why an upload was stopped, in place of "This field is required."."""

from typing import Any

from django.forms.utils import ErrorDict
from django.http import HttpRequest
from django.utils.translation import gettext as _

from exodus_storage_guard.adapters.django.requests import refusal_of
from exodus_storage_guard.errors import UploadRefused


class GuardedFormMixin:
    """Stand before the form's class: `class ApkForm(GuardedFormMixin, ModelForm)`; give it `request=request`."""

    def __init__(self, *arguments: Any, request: HttpRequest | None = None, **more: Any) -> None:
        """Take the request that the files came with."""
        self._refusal = None if request is None else refusal_of(request)
        super().__init__(*arguments, **more)

    def full_clean(self) -> None:
        """Judge nothing of an upload that was stopped: half of its fields never came."""
        if self._refusal is None:
            super().full_clean()  # type: ignore[misc]  # of the form
            return
        self._errors, self.cleaned_data = ErrorDict(), dict[str, Any]()
        self.add_error(None, self.refusal_message(self._refusal))  # type: ignore[attr-defined]  # as above

    def refusal_message(self, refusal: UploadRefused) -> str:
        """Say it to whoever uploads."""
        later = refusal.retry_after_seconds
        if later is None:
            return str(_("There is no room for this upload at the moment. The operators have been told."))
        minutes = {"minutes": max(1, round(later / 60))}
        return str(_("Room is being made for new uploads. Please try again in about %(minutes)d min.") % minutes)
