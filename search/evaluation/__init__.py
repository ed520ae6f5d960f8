"""Questions with known answers → the measures of the field."""
