"""Keys, identities, the handshake and the packet seal. Knows no streams, no sockets, no clock."""
