"""Routes for those who operate the site."""

from django.urls import path

from ingestion import views

urlpatterns = [
    path("metrics", views.metrics, name="metrics"),
    path("readyz/<str:role>", views.role_readiness, name="role-readiness"),
]
