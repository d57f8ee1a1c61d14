"""Nylas v3: what arrives by webhook and what is read by API."""
