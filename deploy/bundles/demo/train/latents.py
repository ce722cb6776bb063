"""The pool's latents, encoded once."""

from __future__ import annotations

import numpy as np
import torch

from . import vae as vae_stage
from .pictures import Pool
from .run import Run


class Latents:
    """Scaled latents (b, 4, 16, 16) of the pool's pictures."""

    def __init__(self, run: Run, pictures: Pool):
        vae = vae_stage.load(run)
        path = run.work / "latents.npy"
        if not path.exists() or path.stat().st_mtime < (run.work / "vae.pt").stat().st_mtime:
            _encode(run, vae, pictures, path)
        self._table = np.load(path, mmap_mode="r")
        self._scale = vae.config.scaling_factor

    def means(self, indices: np.ndarray) -> torch.Tensor:
        return self._rows(indices)[:, :4] * self._scale

    def samples(self, indices: np.ndarray) -> torch.Tensor:
        """As the VAE draws them."""
        mean, deviation = self._rows(indices).chunk(2, 1)
        return (mean + deviation * torch.randn_like(mean)) * self._scale

    def _rows(self, indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self._table[indices].astype(np.float32))


def _encode(run: Run, vae, pictures: Pool, path) -> None:
    """Means and deviations, (n, 8, 16, 16) float16."""
    fresh = path.with_suffix(".tmp")
    table = np.lib.format.open_memmap(fresh, "w+", np.float16, (len(pictures.images), 8, 16, 16))
    vae.to(run.device, memory_format=torch.channels_last)
    for first in range(0, len(table), 64):
        indices = np.arange(first, min(first + 64, len(table)))
        with torch.no_grad():
            spread = vae.encode(pictures.tensor(indices).to(run.device) * 2 - 1).latent_dist
        table[indices] = torch.cat([spread.mean, spread.std], 1).cpu().numpy()
    table.flush()
    fresh.replace(path)
