"""What the mixture is for: one folder an application, with a config, a command and a README."""
