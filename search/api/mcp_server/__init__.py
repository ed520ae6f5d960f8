"""The documentation as tools of a Model Context Protocol server, for coding assistants and chat clients.

``server`` names the tools and tells a model when to call them, ``tools`` are what they do, ``results`` what they
return, ``quotations`` makes results of passages and pages. ``endpoint`` serves them over HTTP at /mcp, in the web
process; ``manage.py mcp`` over standard input and output, to a client that starts it.

Every request stands alone: no session is kept, so that any web process answers.
"""
