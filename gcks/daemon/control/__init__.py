"""The control socket: operators ask and order, programs follow events; JSON lines over UNIX."""
