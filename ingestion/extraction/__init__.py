"""Page → Markdown. ``extract`` calls the format's module or package, which has ``read(url, text) -> Extracted``."""
