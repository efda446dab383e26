"""Give an APK back."""

from django.conf import settings
from django.http import Http404, HttpResponse
from minio import Minio

from reports.models import Report


def get_apk(request, r_id):
    """Give the APK of a report."""
    try:
        report = Report.objects.get(pk=r_id)
    except Report.DoesNotExist:
        raise Http404("No report found") from None
    minio_client = Minio(
        settings.MINIO_STORAGE_ENDPOINT,
        access_key=settings.MINIO_STORAGE_ACCESS_KEY,
        secret_key=settings.MINIO_STORAGE_SECRET_KEY,
        secure=settings.MINIO_STORAGE_USE_HTTPS,
    )
    try:
        data = minio_client.get_object(settings.MINIO_STORAGE_MEDIA_BUCKET_NAME, report.apk_file)
        return HttpResponse(data.data, content_type=data.headers["Content-Type"])
    except Exception as err:  # as it is there
        print(err)
        return HttpResponse(status=500)
