"""Pictures of the latent space, for any task."""
