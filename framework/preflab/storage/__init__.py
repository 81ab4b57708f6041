"""Writing that survives kills and full disks: durable files, checkpoints, artifacts."""
