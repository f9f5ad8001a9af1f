"""The networks of the published minimal examples on torch, for `freia.py`.

Imports no TensorFlow, so that a process of its own has the memory of torch alone.
"""

import math

import torch
from freia_networks import NETWORKS
from torch import nn


class Side:
    """A network in FrEIA, trained as the published code does, on one batch.

    Args:
        network: "lsun_minimal" or "mnist_minimal".
        x: standardized images, `[N, H, W, C]`.
        cond: gray images likewise, or labels `[N]`.
        threads: number of threads.
        compiled: whether by `torch.compile`, with fused Adam.
        device: torch's name of it.
        dtype: of products; the rest is float32.
    """

    def __init__(
        self, network, x, cond, threads, compiled=False, device="cpu", dtype=torch.float32
    ):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._device, self._dtype = device, dtype
        self._network = NETWORKS[network]().to(device)
        self._graph, self._conditioner = self._network.cinn, self._network.cond_net
        self._run = torch.compile(self._pass, dynamic=False) if compiled else self._pass
        self.give(x, cond)
        self._dimensions = self._x[0].numel()
        flow = [p for p in self._graph.parameters() if p.requires_grad]
        for p in flow:
            nn.init.normal_(p, std=0.02)
        self._weights = [*flow, *self._conditioner.parameters()]
        if network == "mnist_minimal":
            self._clip_norm = 10.0
            self._optimizer = torch.optim.Adam(
                self._weights, lr=5e-4, weight_decay=1e-5, fused=compiled or None
            )
        else:
            self._clip_norm = None
            self._optimizer = torch.optim.Adam(self._weights, lr=1e-3, fused=compiled or None)

    def give(self, x, cond):
        """Give it another batch."""
        # Channels first; labels stay as they are.
        self._x, self._cond = (
            torch.tensor(t.transpose(0, 3, 1, 2) if t.ndim == 4 else t)
            .contiguous()
            .to(self._device)
            for t in (x, cond)
        )

    def _pass(self, x, cond, rev=False, jac=True):
        kind = torch.device(self._device).type
        with torch.autocast(kind, self._dtype, enabled=self._dtype != torch.float32):
            return self._graph(x, c=self._conditioner(cond), rev=rev, jac=jac)

    def names(self):
        """Names of all tensors, as the published code has them."""
        return list(self._network.state_dict())

    def load(self, weights):
        """Take the weights of the same network in Keras, by name."""
        self._network.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})

    def step(self):
        """One training step; returns its loss, mean(z^2) / 2 - mean(log-det) / D."""
        z, log_det = self._run(self._x, self._cond)
        loss = (z**2).mean() / 2 - log_det.mean() / self._dimensions
        loss.backward()
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self._weights, self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def encode(self):
        """Latents of the batch, `[N, D]`."""
        return self._run(self._x, self._cond)[0].cpu().numpy()

    @torch.no_grad()
    def decode(self, z):
        """Images `[N, H, W, C]` of latents."""
        x, _ = self._run(torch.tensor(z, device=self._device), self._cond, rev=True, jac=False)
        return x.cpu().numpy().transpose(0, 2, 3, 1)

    @torch.no_grad()
    def log_prob(self):
        """Log-densities `[N]` of the batch, nats."""
        z, log_det = self._run(self._x, self._cond)
        constant = self._dimensions / 2 * math.log(2 * math.pi)
        return (log_det - (z**2).sum(1) / 2 - constant).cpu().numpy()

    @torch.no_grad()
    def sample(self):
        """A sample for each condition."""
        z = torch.randn(len(self._x), self._dimensions, device=self._device)
        return self._run(z, self._cond, rev=True, jac=False)[0].cpu().numpy()
