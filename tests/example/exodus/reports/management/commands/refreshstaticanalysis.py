"""Make the lists of classes anew."""

import tempfile

from django.core.management.base import BaseCommand

from exodus.core.static_analysis import StaticAnalysis
from exodus.core.storage import RemoteStorageHelper
from reports.models import Report


class Command(BaseCommand):
    """Fetch the APK of each report, and store what classes it has."""

    def handle(self, *args, **options):
        for report in Report.objects.order_by("pk"):
            storage_helper = RemoteStorageHelper(report.bucket)
            with tempfile.NamedTemporaryFile() as apk, tempfile.NamedTemporaryFile() as classes:
                storage_helper.get_file(report.apk_file, apk.name)
                StaticAnalysis(apk.name).save_embedded_classes_in_file(classes.name)
                storage_helper.put_file(classes.name, report.class_list_file)
