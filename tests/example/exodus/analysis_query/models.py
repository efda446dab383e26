"""What somebody asked to have analysed."""

from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

MAX_QUERIES = 19


def validate_handle(handle):
    """Refuse what waits already, and whatever is too much."""
    pending = AnalysisRequest.objects.filter(processed=False)
    if pending.filter(handle=handle).exists():
        raise ValidationError(_("This application is being analyzed."))
    if pending.count() > MAX_QUERIES:
        raise ValidationError(_("Too much pending requests, please retry later"))


def validate_file_extension(value):
    """Refuse what is no APK by its name."""
    if Path(value.name).suffix.lower() != ".apk":
        raise ValidationError(_("Unsupported file extension"))


class AnalysisRequest(models.Model):
    """A row that a page shows until it is processed."""

    uploaded_at = models.DateTimeField(auto_now_add=True)
    bucket = models.CharField(max_length=200, default="")
    handle = models.CharField(max_length=500, default="", blank=True, validators=[validate_handle])
    description = models.TextField(blank=True)
    processed = models.BooleanField(default=False)
    in_error = models.BooleanField(default=False)
    report_id = models.CharField(max_length=200, default="")
    apk = models.FileField(blank=False, validators=[validate_file_extension])
    source = models.CharField(max_length=50, default="")
