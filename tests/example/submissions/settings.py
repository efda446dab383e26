"""What Django is told: the guard's lines are those that an operator adds."""

import json
import os
from pathlib import Path

FOLDER = Path(os.environ["EXAMPLE_FOLDER"])
_GUARD = "exodus_storage_guard.adapters.django"
_operator = json.loads((FOLDER / "example.json").read_text())

SECRET_KEY = "of-a-test"  # noqa: S105 - of a test
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "submissions.urls"
WSGI_APPLICATION = "submissions.wsgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["minio_storage", "submissions"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(FOLDER / "platform.db"),
        "OPTIONS": {"timeout": 60},
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [str(Path(__file__).parent / "templates")],
        "OPTIONS": {"context_processors": []},
    }
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

MINIO_STORAGE_ENDPOINT = _operator["endpoint"]
MINIO_STORAGE_ACCESS_KEY = _operator["access_key"]
MINIO_STORAGE_SECRET_KEY = _operator["secret_key"]
MINIO_STORAGE_USE_HTTPS = False
MINIO_STORAGE_MEDIA_BUCKET_NAME = _operator["bucket"]
MINIO_STORAGE_AUTO_CREATE_MEDIA_BUCKET = False

# --- the guard ---

INSTALLED_APPS += [_GUARD]
MIDDLEWARE = [f"{_GUARD}.middleware.GuardMiddleware", *MIDDLEWARE]
FILE_UPLOAD_HANDLERS = [
    f"{_GUARD}.uploads.GuardUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
TEMPLATES[0]["OPTIONS"]["context_processors"] += [f"{_GUARD}.gates.context"]  # type: ignore[index]
STORAGES = {
    "default": {
        "BACKEND": f"{_GUARD}.storage.GuardedStorage",
        "OPTIONS": {"backend": "minio_storage.storage.MinioMediaStorage"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
EXODUS_STORAGE_GUARD = {"suffixes": [".apk"], "accepting_seconds": 0.5}
