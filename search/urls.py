"""Routes of the public site."""

from django.urls import include, path

from search.api import views as api
from search.pages import answers, widget
from search.pages import ask as asking
from search.pages import views as pages

urlpatterns = [
    path("", pages.page, name="page"),
    path("results", pages.results, name="results"),
    path("ask", asking.ask, name="ask"),
    path("answers/<slug:key>/", answers.shared, name="shared"),
    path("answers/<slug:key>/mine", answers.mine, name="mine"),
    path("answers/<slug:key>/change", answers.change, name="change"),
    path("documents/<int:document_id>/", pages.document, name="document"),
    path("widget/", widget.demo, name="widget"),
    path("widget/ask", widget.ask, name="widget-ask"),
    path("widget/results", widget.found, name="widget-results"),
    path("api/search", api.search, name="api-search"),
    path("api/ask", api.ask, name="api-ask"),
    path("api/sources", api.sources, name="api-sources"),
    path("v1/", include("search.api.openai_compatible.urls")),
    path("api/v1/", include("search.api.v1.routes")),
    path("healthz", api.healthz, name="healthz"),
    path("readyz", api.readyz, name="readyz"),
]
