"""The report."""


def write(jobs, folder, path):
    pass
