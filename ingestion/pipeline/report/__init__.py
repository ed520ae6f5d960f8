"""How things stand, for staff and commands. Nothing here changes a row."""
