"""Telling people and programs that a run ended: signed web requests, and mail.

In: the rows of runs and subscriptions. Out: requests and mails, and a row for each that says what became of it. Nothing
calls in here when a run ends: Beat's ``notify`` looks for runs that nobody was told of, so that none is forgotten.
"""
