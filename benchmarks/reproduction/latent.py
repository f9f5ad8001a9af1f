"""Pictures of the latent space."""


def latent(job, folder, fast):
    return {}
