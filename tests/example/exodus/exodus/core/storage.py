"""All that the platform stores, but what comes by the form, goes by here."""

from pathlib import Path

from django.conf import settings
from minio import Minio


class RemoteStorageHelper:
    """The bucket, and of it what begins with a prefix."""

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.minio_client = Minio(
            settings.MINIO_STORAGE_ENDPOINT,
            access_key=settings.MINIO_STORAGE_ACCESS_KEY,
            secret_key=settings.MINIO_STORAGE_SECRET_KEY,
            secure=settings.MINIO_STORAGE_USE_HTTPS,
        )

    def clear_prefix(self, prefix=None):
        """Remove all that begins with a prefix."""
        bucket = settings.MINIO_STORAGE_MEDIA_BUCKET_NAME
        for found in self.minio_client.list_objects(bucket, prefix=prefix or self.prefix, recursive=True):
            self.minio_client.remove_object(bucket, found.object_name)

    def put_file(self, local_path, remote_name):
        """Store a file."""
        self.minio_client.fput_object(settings.MINIO_STORAGE_MEDIA_BUCKET_NAME, remote_name, local_path)

    def get_file(self, remote_name, local_path):
        """Fetch a file."""
        data = self.minio_client.get_object(settings.MINIO_STORAGE_MEDIA_BUCKET_NAME, remote_name)
        with Path(local_path).open("wb") as file:
            file.writelines(data.stream(32 * 1024))
