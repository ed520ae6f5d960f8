"""A question → the passages that answer it, best first."""

from django.dispatch import Signal

# Sent in a web process, by the thread that has loaded the model of a collection, with the ``collection``.
model_ready = Signal()
