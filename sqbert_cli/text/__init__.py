"""Files to records, records to token ids, results to files: no tensors here."""
