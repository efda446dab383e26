"""The worker's side: fetch an app from a shop and store it, within a reservation."""

import os
import random
import signal
from pathlib import Path

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "submissions.settings")
if not apps.ready:
    django.setup()

from celery import Celery
from django.conf import settings
from django.core.files.base import ContentFile

from exodus_storage_guard import UploadRefused
from exodus_storage_guard.adapters.celery import GuardedTask
from submissions.models import Submission
from submissions.storing import store
from tests.parts.messages import configuration

app = Celery("submissions", set_as_current=False)
app.conf.update(configuration(settings.FOLDER, "json"))


class Analysis(GuardedTask):
    """Have whoever waits for a submission told when there is no room for it."""

    abstract = True
    max_retries = int(os.environ.get("EXAMPLE_MAX_RETRIES", "5"))

    def on_refused(self, refusal: UploadRefused, pk: int, size: int) -> None:
        """End the row: its page would ask for ever."""
        Submission.objects.filter(pk=pk).update(processed=True, in_error=True, description=refusal.reason)


@app.task(base=Analysis, bind=True)
def analyse(self: Analysis, pk: int, size: int) -> None:
    """Fetch an app, whose size is known once it is here."""
    submission = Submission.objects.get(pk=pk)
    content = _fetched(submission.handle, size)
    if self.reservation is not None:
        self.reservation.grow(size)
    store(submission, ContentFile(content))


def _fetched(handle: str, size: int) -> bytes:
    """Stand in for the shop; one app never ends to come."""
    if handle == "org.example.stuck":
        (Path(settings.FOLDER) / "stuck").write_text(str(os.getpid()))
        signal.pause()
    return random.randbytes(size)  # noqa: S311 - no secret
