"""Routes below /v1/."""

from django.urls import path

from search.api.openai_compatible import views

urlpatterns = [
    path("models", views.models),
    path("models/<path:name>", views.model),
    path("chat/completions", views.chat_completions),
    path("embeddings", views.embeddings),
    path("<path:path>", views.nothing),
]
