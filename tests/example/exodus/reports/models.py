"""What was found out; the guard's records query reads these tables."""

from django.db import models


class Report(models.Model):
    """A report, and the names of its files."""

    creation_date = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    bucket = models.CharField(max_length=200, default="")
    apk_file = models.CharField(max_length=200, default="")
    class_list_file = models.CharField(max_length=200, default="")


class Application(models.Model):
    """The app that a report is of."""

    report = models.OneToOneField(Report, on_delete=models.CASCADE)
    handle = models.CharField(max_length=200)


class Apk(models.Model):
    """Its file, with its SHA-256."""

    application = models.OneToOneField(Application, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    sum = models.CharField(max_length=200)
