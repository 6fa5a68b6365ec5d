"""Keys and handshakes against published answers and against liars."""
