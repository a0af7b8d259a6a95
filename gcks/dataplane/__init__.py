"""Where a member's Data-Security SAs go: the kernel, a hook command, or nowhere."""
