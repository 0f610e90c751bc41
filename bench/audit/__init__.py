"""The auditor: how much a generator really leaks, whatever it claims."""
