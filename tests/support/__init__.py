"""Servers, rows, corpora and processes that several tests share."""
