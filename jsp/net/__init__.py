"""The gevent shell: sockets, timers and waiting greenlets around the engine. Decides nothing about the protocol."""
