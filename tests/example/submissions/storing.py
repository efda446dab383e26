"""Store an APK: in the bucket first, then in the records."""

import hashlib
import random
import string
from datetime import UTC, datetime

from django.core.files.base import File
from django.core.files.storage import default_storage

from submissions.models import Apk, Submission


def store(submission: Submission, content: File) -> None:
    """Store what was submitted, and say so."""
    letters = "".join(random.choices(string.ascii_lowercase, k=60))  # noqa: S311 - no secret
    name = default_storage.save(f"{letters}_{submission.handle}.apk", content)
    digest = hashlib.sha256()
    content.seek(0)
    for chunk in content.chunks():
        digest.update(chunk)
    Apk.objects.create(name=name, created_at=datetime.now(UTC).isoformat(), sha256=digest.hexdigest())
    submission.apk, submission.processed, submission.description = name, True, "Your report is ready."
    submission.save()
