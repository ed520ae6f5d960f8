"""One module or package per format; each has ``read(url, text) -> Extracted``, which ``extract`` calls."""
