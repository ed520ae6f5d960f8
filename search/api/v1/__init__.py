"""REST under /api/v1/, described by /api/v1/openapi.json and, for people, /api/v1/docs.

``routes`` joins the routers; ``door`` says who may come in; ``failures`` turns exceptions into problems (RFC 9457);
``schemas`` describes what goes in and out; ``paging`` cuts lists. Readers' routes are ``questions``, ``feedback`` and
``documents``; ``sources`` and ``runs`` are for keys with the scope "admin", except for the list of sources.
"""
