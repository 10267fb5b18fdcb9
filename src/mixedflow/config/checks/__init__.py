"""What the schema cannot say, one module a section of the configuration."""
