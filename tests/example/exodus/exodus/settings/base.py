"""What every instance has."""

INSTALLED_APPS = [
    "analysis_query",
    "reports",
    "restful_api",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "minio_storage",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
ROOT_URLCONF = "exodus.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
WSGI_APPLICATION = "exodus.wsgi.application"
LANGUAGES = [("de", "Deutsch"), ("en", "English"), ("fr", "Français")]
LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STORAGES = {
    "default": {"BACKEND": "minio_storage.storage.MinioMediaStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MINIO_STORAGE_USE_HTTPS = False
MINIO_STORAGE_AUTO_CREATE_MEDIA_BUCKET = False
ALLOW_APK_UPLOAD = False
DISABLE_SUBMISSIONS = False
