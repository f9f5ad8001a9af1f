"""The command line: a module for each verb of `tfp-cinn`, and what they share."""
