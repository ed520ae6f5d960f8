"""What uvicorn serves: client addresses from trusted proxies, the limits, traces, then /mcp or Django."""

import os
from typing import Any, cast

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string
from starlette.routing import Route, Router
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ragproject import connections, tracing
from ragproject.clients import Slots
from ragproject.request_limits import RequestLimits
from ragproject.start_checks import require_checks
from ragproject.uploaders import may_upload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

connections.share()
django_application = get_asgi_application()
require_checks()
# By its name, as urls name their views: the configuration imports no application.
mcp = import_string("search.api.mcp_server.endpoint.endpoint")
routed = Router(
    [Route("/mcp", mcp), Route("/mcp/", mcp)],
    redirect_slashes=False,
    default=cast(Any, django_application),
    lifespan=mcp.lifespan,
)
traced: Any = routed
if tracing.enabled():
    tracing.start()
    traced = tracing.TracedRequests(traced)
limited = RequestLimits(
    traced,
    Slots(settings.OPEN_REQUESTS_PER_CLIENT, settings.OPEN_REQUESTS),
    settings.UPLOAD_MAX_BYTES,
    may_upload,
)
# Both speak ASGI; uvicorn's types name every message of it.
application = ProxyHeadersMiddleware(cast(Any, limited), trusted_hosts=settings.TRUSTED_PROXIES)
