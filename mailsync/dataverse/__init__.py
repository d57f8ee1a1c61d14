"""The Dataverse Web API: who owns an address, which emails are there, and how one is written."""
