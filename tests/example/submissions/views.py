"""The pages: send an APK, have one fetched from a shop, see how it goes, get an APK back."""

from django import forms
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render

from exodus_storage_guard.adapters.django.forms import GuardedFormMixin
from exodus_storage_guard.adapters.django.gates import accepting
from submissions.models import Submission
from submissions.storing import store
from submissions.tasks import analyse


class ApkForm(GuardedFormMixin, forms.Form):
    """What a person fills in."""

    handle = forms.CharField()
    apk = forms.FileField()


class ShopForm(forms.Form):
    """What names an app in a shop; how large it is nobody knows before it is there."""

    handle = forms.CharField()
    bytes = forms.IntegerField()


def upload(request: HttpRequest) -> HttpResponseBase:
    """Take an APK, and store it within this request."""
    form = ApkForm(request.POST or None, request.FILES or None, request=request)
    if request.method == "POST" and form.is_valid():
        submission = Submission.objects.create(handle=form.cleaned_data["handle"])
        store(submission, form.cleaned_data["apk"])
        return redirect("report", submission.pk)
    return render(request, "upload.html", {"form": form})


def submit(request: HttpRequest) -> HttpResponse:
    """Have a worker fetch an app; not while there is no room."""
    if not accepting():
        return HttpResponse("It is currently impossible to submit new analyses.", status=503)
    form = ShopForm(request.POST)
    if not form.is_valid():
        return JsonResponse(form.errors, status=400)
    submission = Submission.objects.create(handle=form.cleaned_data["handle"])
    analyse.delay(submission.pk, form.cleaned_data["bytes"])
    return JsonResponse({"id": submission.pk}, status=202)


def report(request: HttpRequest, pk: int) -> JsonResponse:
    """Say how far a submission is."""
    found = get_object_or_404(Submission, pk=pk)
    fields = ("handle", "apk", "processed", "in_error", "description")
    return JsonResponse({name: getattr(found, name) for name in fields})


def apk(request: HttpRequest, name: str) -> FileResponse:
    """Give an APK back, wherever it lies."""
    return FileResponse(default_storage.open(name), as_attachment=True, filename=name)
