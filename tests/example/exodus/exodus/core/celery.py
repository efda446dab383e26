"""The worker's app; its messages are pickled, and files of EXAMPLE_FOLDER."""

import os

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exodus.settings.production")
if not apps.ready:
    django.setup()

from celery import Celery
from django.conf import settings

from tests.parts.messages import configuration

app = Celery("exodus", set_as_current=False, include=["exodus.core.apk"])
app.conf.update(configuration(settings.FOLDER, "pickle"))
app.conf.update(task_serializer="pickle", accept_content=["pickle"])
