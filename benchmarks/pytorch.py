"""The model `lstm` in plain PyTorch on the CPU. The argument is the folder `data/pad`."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

EPOCHS = 5
BATCH_SIZE = 64


class Sentiment(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10000, 64)
        self.lstm = nn.LSTM(64, 64, batch_first=True)
        self.head = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(self.embedding(x))
        return self.head(h[-1])[:, 0]


folder = Path(sys.argv[1])
x = torch.from_numpy(np.load(folder / "x_train.npy").astype(np.int64))
y = torch.from_numpy(np.load(folder / "y_train.npy").astype(np.float32))
cut = len(x) * 4 // 5
model = Sentiment()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
loss_function = nn.BCEWithLogitsLoss()

for epoch in range(EPOCHS):
    print(f"Epoch {epoch + 1}/{EPOCHS}", flush=True)
    model.train()
    for rows in torch.randperm(cut).split(BATCH_SIZE):
        optimizer.zero_grad()
        loss = loss_function(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        logits = [model(batch) for batch in x[cut:].split(BATCH_SIZE)]
    accuracy = ((torch.cat(logits) > 0) == (y[cut:] > 0.5)).float().mean()
    print(f"val_accuracy: {accuracy:.4f}", flush=True)
