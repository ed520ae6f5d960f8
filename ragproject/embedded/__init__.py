"""The embedded stack of `manage.py up`: Redis, Milvus Lite, workers, Beat and web as supervised child processes."""
