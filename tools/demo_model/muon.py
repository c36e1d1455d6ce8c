"""AdamW for vectors, embeddings and convolutions, Muon (Jordan et al. 2024) for matrices: fewer steps for a transformer."""

import torch


def orthogonal(g):
    """Nearly the orthogonal factor of each matrix [n, a, b], by five steps of a quintic iteration in bfloat16."""
    x = g.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.flatten(1).float().norm(dim=1).view(-1, 1, 1).to(x.dtype) + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Matrices of one shape are changed together. A step is as large as AdamW's would be at the same rate."""

    def __init__(self, matrices, lr, momentum=0.95, decay=0.01):
        shapes = {}
        for p in matrices:
            shapes.setdefault(tuple(p.shape), []).append(p)
        super().__init__([{"params": group} for group in shapes.values()], {"lr": lr})
        self._momentum, self._decay = momentum, decay

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            pasts = [self.state[p].setdefault("past", torch.zeros_like(p)) for p in params]
            torch._foreach_lerp_(pasts, grads, 1 - self._momentum)
            ahead = torch._foreach_lerp(grads, pasts, self._momentum)
            changes = orthogonal(torch.stack(ahead)) * (0.2 * max(params[0].shape) ** 0.5)
            torch._foreach_mul_(params, 1 - group["lr"] * self._decay)
            torch._foreach_add_(params, list(changes.unbind(0)), alpha=-group["lr"])


class Both:
    """Two optimizers that act as one."""

    def __init__(self, weights, rate, matrices=("blocks.", "audio_injector.injector.")):
        is_matrix = lambda n, v: v.dim() == 2 and n.startswith(matrices)
        self._parts = [Muon([v for n, v in weights.items() if is_matrix(n, v)], rate),
                       torch.optim.AdamW([v for n, v in weights.items() if not is_matrix(n, v)], rate, (0.9, 0.98),
                                         weight_decay=0.0)]
        self.param_groups = [g for part in self._parts for g in part.param_groups]

    def step(self):
        for part in self._parts:
            part.step()

    def zero_grad(self, set_to_none=True):
        for part in self._parts:
            part.zero_grad(set_to_none)
