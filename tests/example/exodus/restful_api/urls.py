"""Where the API is."""

from django.urls import path

from . import views

urlpatterns = [path("apk/<int:r_id>/", views.get_apk)]
