"""The meaning of an email: a Nylas message in, a Dataverse email out, with no network, clock, environment or log."""
