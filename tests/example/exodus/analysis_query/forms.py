"""What people fill in."""

from django import forms

from .models import AnalysisRequest


class AnalysisRequestForm(forms.ModelForm):
    """An app of a shop."""

    class Meta:
        model = AnalysisRequest
        fields = ("handle", "source")


class UploadRequestForm(forms.ModelForm):
    """A file."""

    class Meta:
        model = AnalysisRequest
        fields = ("apk",)
