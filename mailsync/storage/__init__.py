"""Azure Storage: the queues between the functions, the journal of every message, the mailboxes' watermarks."""
