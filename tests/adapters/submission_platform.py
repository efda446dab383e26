"""A platform of Django and Celery whose tasks work for rows; a worker imports it, and a test runs lines in it."""

import os
from pathlib import Path

import django
from celery import Celery, Task
from django.conf import settings

from tests.parts.messages import configuration

FOLDER = Path(os.environ.get("PLATFORM_FOLDER", "."))
_ROWS = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(FOLDER / "rows.db"), "OPTIONS": {"timeout": 30}}

settings.configure(
    INSTALLED_APPS=[
        "exodus_storage_guard.adapters.django",
        "django.contrib.contenttypes",
        "django.contrib.auth",
    ],
    DATABASES={"default": _ROWS},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - Django is ready from here on

from exodus_storage_guard.adapters.django.tasks import SubmissionTask  # noqa: E402

app = Celery("submission_platform", set_as_current=False)
app.conf.update(configuration(FOLDER, "json"))
_NAMED = {"model": "auth.User", "ends": {"is_staff": True}, "says": "last_name", "file": "no_file"}


@app.task(base=SubmissionTask, **_NAMED)
def analyse(params: int, told: str = "") -> str:
    """Work for a row."""
    if told == "fail":
        raise RuntimeError("the analysis fails")
    return told


@app.task(base=SubmissionTask, bind=True, **_NAMED)
def analyse_bound(self: Task, params: int, told: str = "") -> str:
    """Work for a row, and know its own request."""
    return told


def row(name: str) -> User:
    """Give a row that nothing was said of yet."""
    return User.objects.create(username=name)


def said(name: str) -> list[object]:
    """Give what a row says: that it is over, and a sentence."""
    found = User.objects.get(username=name)
    return [found.is_staff, found.last_name]
