"""The pages: have an app fetched from a shop, send one, see how it goes."""

import random
import string

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView

from exodus.core.apk import StaticAnalysisParameters, start_static_analysis

from .forms import AnalysisRequestForm, UploadRequestForm
from .models import AnalysisRequest


def random_word(length):
    return "".join(random.choice(string.ascii_lowercase) for _ in range(length))  # noqa: S311 - no secret


def upload_file(request):
    """Take a file."""
    if request.method == "POST" and settings.ALLOW_APK_UPLOAD:
        form = UploadRequestForm(request.POST, request.FILES)
        if form.is_valid():
            req = form.save()
            req.handle = "from_upload"
            req.source = "apk"
            req.bucket = str(random_word(60))
            req.description = _("Your request will be handled soon")
            req.save()

            params = StaticAnalysisParameters(req)
            start_static_analysis.delay(params)
            return HttpResponseRedirect(reverse("analysis:wait", args=[req.id]))

    else:
        form = UploadRequestForm()
    return render(request, "query_upload.html", {"form": form})


class AnalysisRequestView(FormView):
    """Take the name of an app."""

    template_name = "query_submit.html"
    form_class = AnalysisRequestForm

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context["submissions_disabled"] = settings.DISABLE_SUBMISSIONS
        return context

    def form_valid(self, form):
        if settings.DISABLE_SUBMISSIONS and not self.request.user.is_superuser:
            return HttpResponse(status=503)

        req = AnalysisRequest(
            handle=form.cleaned_data["handle"],
            source=form.cleaned_data["source"],
            bucket=str(random_word(60)),
            description=_("Your request will be handled soon"),
        )
        req.save()

        params = StaticAnalysisParameters(req)
        start_static_analysis.delay(params)

        return HttpResponseRedirect(reverse("analysis:wait", args=[req.id]))


def wait(request, r_id):
    """Show a request."""
    return render(request, "query_wait.html", {"analysis": get_object_or_404(AnalysisRequest, pk=r_id)})


def json(request, r_id):
    """Say how far a request is; its page asks for this again and again."""
    r = get_object_or_404(AnalysisRequest, pk=r_id)
    return JsonResponse(
        {
            "description": _(r.description),
            "processed": r.processed,
            "in_error": r.in_error,
            "report_id": r.report_id,
        }
    )
