"""Routes of the public site."""

from django.urls import include, path

from search.api import views as api
from search.pages import views as pages

urlpatterns = [
    path("", pages.page, name="page"),
    path("documents/<int:document_id>/", pages.document, name="document"),
    path("api/search", api.search, name="api-search"),
    path("api/ask", api.ask, name="api-ask"),
    path("api/sources", api.sources, name="api-sources"),
    path("api/v1/", include("search.api.v1.routes")),
    path("healthz", api.healthz, name="healthz"),
    path("readyz", api.readyz, name="readyz"),
]
