"""Make a training run's folder of weights that were trained with FrEIA on PyTorch.

tfp-cinn import-freia --config=mnist_paper --weights=mnist.pt --workdir=runs/paper
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.config()
FLAGS.path("weights", "File that torch.save wrote.", required=True)
FLAGS.path("workdir", "Folder to make.", required=True)


def main(**given):
    """See `tfp_cinn.training.import_run_from_freia`."""
    from tfp_cinn.training import import_run_from_freia

    import_run_from_freia(**given)
