"""A message as mail, through Django's settings for it (EMAIL_URL)."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import send_mail

from ingestion.models import Delivery
from ingestion.notifications.outcome import Outcome

ERROR_CHARS = 4000


def send(message: Delivery) -> Outcome:
    """Make one attempt to send a message by mail, and return the outcome."""
    if not settings.EMAIL_HOST:
        return Outcome("No mail server is set: EMAIL_URL names it.")
    run = message.run
    name = " ".join(run.source.name.split())
    text = f"The run of “{name}” that began at {run.created_at:%Y-%m-%d %H:%M} UTC is {run.state}.\n"
    if run.error:
        text += f"\n{run.error[:ERROR_CHARS]}\n"
    try:
        send_mail(f"{name}: run {run.state}", text, None, [message.subscription.address])
    except (OSError, ValueError) as error:  # those of SMTP, and names and passwords that SMTP cannot spell
        return Outcome(f"The mail server did not take it ({type(error).__name__}).")
    return Outcome("taken by the mail server", sent=True)
