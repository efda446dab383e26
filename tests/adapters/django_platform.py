"""An example platform: a form that takes an APK, a page that reads one, and a gate for submissions."""

import os
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.files.storage import default_storage
from django.forms import FileField, Form
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.template import engines
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

_GUARD = "exodus_storage_guard.adapters.django"
_PAGE = "{% if not accepting_uploads %}<p>No submissions now.</p>{% endif %}<form>{{ form.errors }}</form>"


def configure(**more: Any) -> None:
    """Configure Django as a platform's settings do."""
    settings.configure(
        DEBUG=False,
        SECRET_KEY="of-a-test",  # noqa: S106 - of a test
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[_GUARD],
        MIDDLEWARE=[
            f"{_GUARD}.middleware.GuardMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        FILE_UPLOAD_HANDLERS=[
            f"{_GUARD}.uploads.GuardUploadHandler",
            "django.core.files.uploadhandler.MemoryFileUploadHandler",
            "django.core.files.uploadhandler.TemporaryFileUploadHandler",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"context_processors": [f"{_GUARD}.gates.context"]},
            }
        ],
        STORAGES={"default": {"BACKEND": f"{_GUARD}.storage.GuardedStorage"}},
        USE_TZ=True,
        **more,
    )
    django.setup()


def while_it_works() -> None:
    """Be what a test has happen between the upload and its saving."""


def upload(request: HttpRequest) -> HttpResponseBase:
    """Take an APK."""
    from exodus_storage_guard.adapters.django.forms import GuardedFormMixin

    class ApkForm(GuardedFormMixin, Form):
        apk = FileField()

    if "naked" in request.GET:
        return HttpResponse(request.FILES["apk"].name)
    form = ApkForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        while_it_works()
        if "fail" in request.GET:
            raise RuntimeError("the platform fails after the upload")
        saved = default_storage.save(request.POST.get("key", "upload.apk"), form.cleaned_data["apk"])
        if "second" in request.GET:
            default_storage.save("second.apk", form.cleaned_data["apk"])
        if "undo" in request.GET:
            default_storage.delete(saved)
        if "fail-later" in request.GET:
            raise RuntimeError("the platform fails after it has stored")
        return HttpResponse(saved)
    return HttpResponse(engines["django"].from_string(_PAGE).render({"form": form}, request))


@csrf_exempt
async def upload_from_a_program(request: HttpRequest) -> HttpResponse:
    """Take an APK as an interface for programs does."""
    return HttpResponse(await sync_to_async(default_storage.save)("from-a-program.apk", request.FILES["apk"]))


def save(request: HttpRequest, key: str) -> HttpResponse:
    """Store what came by another way than an upload, as a worker does."""
    from django.core.files.base import ContentFile

    return HttpResponse(default_storage.save(key, ContentFile(os.urandom(int(request.GET["bytes"])))))


def read(request: HttpRequest, key: str) -> FileResponse:
    """Give an APK."""
    return FileResponse(default_storage.open(key))


def elsewhere(request: HttpRequest) -> HttpResponse:
    """Take no file, and say how many came."""
    return HttpResponse(str(len(request.FILES)))


urlpatterns = [
    path("upload", upload, name="upload"),
    path("program", upload_from_a_program, name="program"),
    path("save/<path:key>", save, name="save"),
    path("read/<path:key>", read),
    path("elsewhere", elsewhere, name="elsewhere"),
]
