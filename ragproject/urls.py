"""Routes: the admin, logins of readers, what operators ask for in ``ingestion``, and all else in ``search``."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from ragproject.logins import LoginForm, ReaderLoginForm

admin.autodiscover()
admin.site.login_form = LoginForm
handler500 = "search.pages.failures.server_error"
urlpatterns = [
    path("admin/", admin.site.urls),
    path(
        "login/",
        LoginView.as_view(template_name="search/login.html", authentication_form=ReaderLoginForm),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("favicon.ico", RedirectView.as_view(url=static("search/icon.svg"))),
    path("", include("ingestion.urls")),
    path("", include("search.urls")),
]
