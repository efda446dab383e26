"""What the operator of this instance sets; where, is in EXAMPLE_FOLDER."""

import json
import os
from pathlib import Path

from .base import *  # noqa: F403 - as Django's settings are written

FOLDER = Path(os.environ["EXAMPLE_FOLDER"])
_operator = json.loads((FOLDER / "example.json").read_text())
SECRET_KEY = "of-a-test"  # noqa: S105 - of a test
ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(FOLDER / "platform.db"),
        "OPTIONS": {"timeout": 60},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
MINIO_STORAGE_ENDPOINT = _operator["endpoint"]
MINIO_STORAGE_ACCESS_KEY = _operator["access_key"]
MINIO_STORAGE_SECRET_KEY = _operator["secret_key"]
MINIO_STORAGE_MEDIA_BUCKET_NAME = _operator["bucket"]
ALLOW_APK_UPLOAD = True
