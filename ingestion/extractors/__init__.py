"""One module per format; each has ``read(url, text) -> Extracted``. Only ``ingestion.extractor`` calls them."""
