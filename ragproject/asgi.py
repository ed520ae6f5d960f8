"""The ASGI application that uvicorn serves: client addresses from trusted proxies, the limits, then Django."""

import os
from typing import Any, cast

from django.conf import settings
from django.core.asgi import get_asgi_application
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ragproject.clients import Slots
from ragproject.request_limits import RequestLimits
from ragproject.start_checks import require_checks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

django_application = get_asgi_application()
require_checks()
limited = RequestLimits(
    django_application,
    Slots(settings.OPEN_REQUESTS_PER_CLIENT, settings.OPEN_REQUESTS),
    settings.UPLOAD_MAX_BYTES,
)
# Both speak ASGI; uvicorn's types name every message of it.
application = ProxyHeadersMiddleware(cast(Any, limited), trusted_hosts=settings.TRUSTED_PROXIES)
