"""Routes: the admin, what operators ask for in ``ingestion``, and everything else in ``search``."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from ragproject.logins import LoginForm

admin.site.login_form = LoginForm
urlpatterns = [
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("search/icon.svg"))),
    path("", include("ingestion.urls")),
    path("", include("search.urls")),
]
