"""OneScan's service: intake, store, study, screening, results, and the command line."""

__version__ = "0.1.0"
