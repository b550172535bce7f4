"""Records in, results out: generators in order of arrival, in constant memory."""
