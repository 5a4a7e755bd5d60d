"""The same model in plain PyTorch on the CPU.

Its arguments are the folder `data/pad` and, if not all of it with an LSTM, the layer, such as GRU,
and how many reviews.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH = 5, 64
FOLDER, LAYER, REVIEWS = [*sys.argv[1:], "LSTM", "25000"][:3]


class Sentiment(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10000, 64)
        self.cell = getattr(nn, LAYER)(64, 64, batch_first=True)
        self.head = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, last = self.cell(self.embedding(x))
        h = last[0] if isinstance(last, tuple) else last
        return self.head(h[-1])[:, 0]


folder, some = Path(FOLDER), slice(int(REVIEWS))
x = torch.from_numpy(np.load(folder / "x_train.npy")[some].astype(np.int64))
y = torch.from_numpy(np.load(folder / "y_train.npy")[some].astype(np.float32))
cut = len(x) * 4 // 5
model = Sentiment()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
loss_of = nn.BCEWithLogitsLoss()

for epoch in range(EPOCHS):
    print(f"Epoch {epoch + 1}/{EPOCHS}", flush=True)
    model.train()
    for rows in torch.randperm(cut).split(BATCH):
        optimizer.zero_grad()
        loss = loss_of(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        parts = [model(part) for part in x[cut:].split(BATCH)]
    accuracy = ((torch.cat(parts) > 0) == (y[cut:] > 0.5)).float().mean()
    print(f"val_accuracy: {accuracy:.4f}", flush=True)
