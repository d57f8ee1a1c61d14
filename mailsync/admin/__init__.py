"""The operator's commands: what a person asks and does at a desk, on the deployed app's storage and services."""
