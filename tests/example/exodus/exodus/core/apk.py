"""The task that fetches an app, stores and analyses it."""

import tempfile
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from analysis_query.models import AnalysisRequest
from exodus.core.storage import RemoteStorageHelper
from reports.models import Apk, Application, Report

from .celery import app
from .static_analysis import StaticAnalysis, clear_analysis_files, download_apk

EXIT_CODE_DOWNLOAD_APK_ERROR = -2
EXIT_CODE_DECODE_APK_ERROR = -4


def save_error(storage_helper, params, request, msg):
    """End a request with a sentence."""
    clear_analysis_files(storage_helper, params.tmp_dir, params.bucket, True)
    request.description, request.in_error, request.processed = msg, True, True
    request.save()


@app.task(ignore_result=True)
def start_static_analysis(params):
    """Do all of it."""
    request = AnalysisRequest.objects.get(pk=params.query.id)
    request.description = _("Your request is running")
    request.save()
    storage_helper = RemoteStorageHelper(params.bucket)

    if request.apk:
        Path(params.tmp_dir).mkdir(exist_ok=True)
        Path(params.apk_tmp).write_bytes(request.apk.read())
        storage_helper.put_file(params.apk_tmp, params.apk_name)
        request.apk.delete()
    elif not download_apk(storage_helper, request.handle, params.apk_name, params.apk_tmp):
        save_error(storage_helper, params, request, _("Unable to download the APK"))
        return EXIT_CODE_DOWNLOAD_APK_ERROR

    try:
        static_analysis = StaticAnalysis(params.apk_tmp)
    except ValueError:
        save_error(storage_helper, params, request, _("Unable to decode the APK"))
        return EXIT_CODE_DECODE_APK_ERROR

    with tempfile.NamedTemporaryFile() as file:
        static_analysis.save_embedded_classes_in_file(file.name)
        storage_helper.put_file(file.name, params.class_list_file)
    report = Report(apk_file=params.apk_name, bucket=request.bucket, class_list_file=params.class_list_file)
    report.save()
    application = Application(report=report, handle=request.handle)
    application.save()
    Apk(application=application, name=params.apk_name, sum=static_analysis.get_sha256()).save()
    clear_analysis_files(storage_helper, params.tmp_dir, params.bucket, False)
    request.description, request.processed, request.report_id = _("Static analysis complete"), True, report.id
    request.save()
    return report.id


class StaticAnalysisParameters:
    """What goes to the worker."""

    def __init__(self, analysis_query):
        self.query = analysis_query
        self.bucket = analysis_query.bucket
        self.tmp_dir = tempfile.mkdtemp()
        self.apk_tmp = f"{self.tmp_dir}/{self.query.handle}.apk"
        self.apk_name = f"{self.bucket}_{self.query.handle}.apk"
        self.class_list_file = f"{self.bucket}_{self.query.handle}.clist"
