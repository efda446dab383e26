"""Where the pages are."""

from django.urls import path

from submissions import views

urlpatterns = [
    path("", views.upload, name="upload"),
    path("submit/", views.submit),
    path("report/<int:pk>/", views.report, name="report"),
    path("api/apk/<str:name>", views.apk),
]
