"""What users and nodes are told, as values: the types, the strict decoder, `resolve`. Pure: no I/O anywhere below here."""
