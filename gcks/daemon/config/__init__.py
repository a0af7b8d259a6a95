"""Configuration files: YAML to domain records, every error with its line."""
