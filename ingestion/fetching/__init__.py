"""URL -> page or file: at the pace that hosts allow, and never from our own network. ``fetcher`` is the interface."""
