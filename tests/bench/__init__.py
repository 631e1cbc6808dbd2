"""Speed is a promise: each row of `make bench` measures ours beside its peers, in one run."""
