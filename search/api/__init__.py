"""JSON and server-sent events over HTTP, and the probes of the services behind the site."""
