"""Have a form say why an upload was stopped, in place of "This field is required."."""

from typing import Any

from django.forms.utils import ErrorDict
from django.http import HttpRequest

from exodus_storage_guard.adapters.django import words
from exodus_storage_guard.adapters.django.requests import refusal_at_hand, refusal_of
from exodus_storage_guard.errors import UploadRefused


class GuardedFormMixin:
    """Stand before the form's class: `class ApkForm(GuardedFormMixin, ModelForm)`.

    It is for the files of the request at hand; where several are looked at give it the one they came with.
    """

    def __init__(self, *arguments: Any, request: HttpRequest | None = None, **more: Any) -> None:
        """Take the request that the files came with."""
        self._refusal = refusal_at_hand() if request is None else refusal_of(request)
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
        return words.refused(refusal)
