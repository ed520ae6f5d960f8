"""The benchmarks of `manage.py benchmark`. Nothing but that command and the demo imports from here."""
