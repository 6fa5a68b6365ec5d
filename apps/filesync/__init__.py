"""`jsp-sync`: copies trees of files over JetStreamProto; a command line for `jsp.transfer`."""
