"""URL → page or file, politely and never into our own network. ``fetcher`` is the only door to the outside."""
