"""Where the pages are."""

from django.urls import include, path

urlpatterns = [
    path("analysis/", include("analysis_query.urls")),
    path("api/", include("restful_api.urls")),
]
