"""The outside world: files, model servers, libraries with I/O."""
