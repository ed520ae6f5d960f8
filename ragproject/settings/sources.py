"""Sources and fetching: who the crawler is, what it may reach, how fast and how much."""

from __future__ import annotations

from pathlib import Path

from environs import validate

from ragproject.settings.locations import at_home, env, sendable

env.begin("sources and fetching")
USER_AGENT = env.text(
    "USER_AGENT",
    "ragproject/0.1 (+documentation ingestion; set USER_AGENT to name a contact)",
    "Name of the crawler; put your contact into it before crawling.",
)
FETCH_PRIVATE_NETWORKS: list[str] = env.items(
    "FETCH_PRIVATE_NETWORKS",
    [],
    "Networks that may be fetched from although not public, as `10.1.0.0/16`.",
    convert=str,
)
FETCH_PORTS = env.items("FETCH_PORTS", [80, 443], "Ports that may be fetched from.", convert=int)
FETCH_TIMEOUT_SECONDS = env.number(
    "FETCH_TIMEOUT_SECONDS", 30.0, "Time limit of one fetched page.", validate=validate.Range(0.1)
)
FETCH_MAX_BYTES = env.integer(
    "FETCH_MAX_BYTES", 10 * 1024 * 1024, "Size limit of one fetched page.", validate=validate.Range(1)
)
FETCH_CA_BUNDLE = env.text(
    "FETCH_CA_BUNDLE", "", "File of certificates to trust beside the public ones, for an authority of your own."
)
# Per host, over all workers, unless the source or the site's robots.txt says otherwise. Four requests a second on
# two connections is what a reader who opens pages in tabs does.
CRAWL_DELAY_SECONDS = env.number(
    "CRAWL_DELAY_SECONDS",
    0.25,
    "Pause between requests to a host, over all workers; its robots.txt may ask for more.",
    validate=validate.Range(0, 3600),
)
CRAWL_CONNECTIONS = env.integer(
    "CRAWL_CONNECTIONS", 2, "Connections to a host at a time, over all workers.", validate=validate.Range(0, 1000)
)
GITHUB_API_URL = env.text(
    "GITHUB_API_URL",
    "https://api.github.com",
    "Address of the API; another one for GitHub Enterprise.",
    validate=validate.Regexp(r"^https?://\S+$"),
)
GITHUB_TOKEN = env.text(
    "GITHUB_TOKEN", "", "For private repositories and a higher limit of requests.", validate=sendable, secret=True
)
GITHUB_MAX_ARCHIVE_BYTES = env.integer(
    "GITHUB_MAX_ARCHIVE_BYTES", 1024 * 1024 * 1024, "Size limit of a repository's archive.", validate=validate.Range(1)
)
UPLOAD_MAX_BYTES = env.integer(
    "UPLOAD_MAX_BYTES",
    200 * 1024 * 1024,
    "Size limit of files uploaded at once in the admin.",
    validate=validate.Range(1),
)
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # Django's 100 is fewer than a folder of notes has
FILES_ROOTS: list[Path] = env.items(
    "FILES_ROOTS",
    [],
    "Folders that staff may name in the admin; the command line may name any.",
    convert=at_home,
)
