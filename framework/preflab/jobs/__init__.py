"""One job: run folder, child process, ledger, several processes."""
