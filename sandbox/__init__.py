"""Stand-ins for Nylas, Entra and Dataverse, a local Functions host and Azurite: what the demo, the tests and the
benchmark run against. Never deployed, and it shares no code with what it checks."""
