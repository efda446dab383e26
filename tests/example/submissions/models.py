"""What the platform writes down."""

from django.db import models


class Apk(models.Model):
    """An APK that is stored; the guard's records query reads this table."""

    name = models.TextField(primary_key=True)
    created_at = models.TextField()
    sha256 = models.TextField()

    class Meta:
        managed = False  # whoever sets the platform up has made it
        db_table = "apk"


class Submission(models.Model):
    """What somebody asked to have analysed."""

    handle = models.TextField()
    apk = models.TextField(default="")
    processed = models.BooleanField(default=False)
    in_error = models.BooleanField(default=False)
    description = models.TextField(default="")
