"""Look at every APK again."""

import tempfile

from django.core.management.base import BaseCommand

from exodus.core.static_analysis import StaticAnalysis
from exodus.core.storage import RemoteStorageHelper
from reports.models import Report


class Command(BaseCommand):
    """Fetch the APK of each report, and say what its checksum is."""

    def handle(self, *args, **options):
        for report in Report.objects.order_by("pk"):
            with tempfile.NamedTemporaryFile() as file:
                RemoteStorageHelper(report.bucket).get_file(report.apk_file, file.name)
                self.stdout.write(f"{report.apk_file} {StaticAnalysis(file.name).get_sha256()}")
