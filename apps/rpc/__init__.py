"""`jsp-rpc`: serve functions, call them, list them, measure how fast that goes. Stands on `jsp.rpc`."""
