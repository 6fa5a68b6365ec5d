"""The bundled applications. Installed as `jsp.apps`; they use the public API only."""
