"""The HTTP server of ``anytag serve``; needs ``pip install 'anytag[serve]'``."""
