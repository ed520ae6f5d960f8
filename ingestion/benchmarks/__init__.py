"""What `manage.py benchmark` measures. Nothing of the product imports from here."""
