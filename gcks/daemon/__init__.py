"""The asyncio edge: configuration, sockets, commit, metrics, logs, systemd."""
