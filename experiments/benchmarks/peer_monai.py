"""A plain MONAI and Lightning script for ``peers.py dice``, as MONAI's tutorial of 3D segmentation writes it.

The pattern is that of ``spleen_segmentation_3d_lightning``: dictionary transforms, CacheDataset, foreground crops,
Adam, prediction by sliding window, Invertd. For MR the intensities are normalised by mean and deviation. float32,
channels first; it does not validate, which saves it time.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import AttentionUnet
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    SaveImaged,
    Spacingd,
    SpatialPadd,
)
from peer_arguments import parse
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

_PATCH = (48, 64, 48)
_BATCH = 8
_CLASSES = 3
_WORKERS = 2


class Net(LightningModule):
    """Attention U-Net of MONAI with its loss and optimizer."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 256)
        self.network = AttentionUnet(3, in_channels=1, out_channels=_CLASSES, channels=widths, strides=(2,) * 4)
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W, D) -> logits (B, K, H, W, D)."""
        return self.network(image)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.loss(self(batch["image"]), batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Snapshots(Callback):
    """Weights kept after the first step that ends ``interval`` seconds after those before, and at the end."""

    def __init__(self, folder: Path, interval: float) -> None:
        self._folder, self._interval = folder, interval
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        """Save the weights if it is time."""
        if time.monotonic() - self._last >= self._interval:
            self._last = time.monotonic()
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last weights."""
        self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.save(pl_module.state_dict(), self._folder / f"step_{trainer.global_step:06}.pt")


def train(data: Path, split: Path, folder: Path, minutes: float, interval: float, seed: int) -> None:
    """Train on the training cases of ``split`` for ``minutes``."""
    seed_everything(seed)
    transforms = Compose(
        [
            *_preprocessing(("image", "label")),
            SpatialPadd(keys=["image", "label"], spatial_size=_PATCH),
            RandCropByPosNegLabeld(
                keys=["image", "label"], label_key="label", spatial_size=_PATCH, pos=1, neg=1, num_samples=1
            ),
        ]
    )
    dataset = CacheDataset(_files(data, split, "train"), transforms, cache_rate=1.0, num_workers=_WORKERS)
    loader = DataLoader(dataset, batch_size=_BATCH, shuffle=True, num_workers=_WORKERS)
    trainer = Trainer(
        max_epochs=-1,
        max_time={"seconds": round(60 * minutes)},
        callbacks=[Snapshots(folder / "snapshots", interval)],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(Net(), loader)


def predict(data: Path, split: Path, snapshots: list[Path], output: Path) -> None:
    """Write a label map on the scan's own grid for each case kept apart and each of the weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preprocessing = Compose(_preprocessing(("image",)))
    dataset = CacheDataset(_files(data, split, "test"), preprocessing, cache_rate=1.0, num_workers=_WORKERS)
    net = Net().to(device).eval()
    for snapshot in snapshots:
        net.load_state_dict(torch.load(snapshot, map_location=device, weights_only=True))
        finish = Compose(
            [
                Invertd(keys="pred", transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True),
                AsDiscreted(keys="pred", argmax=True),
                SaveImaged(
                    keys="pred",
                    output_dir=output / snapshot.name,
                    output_postfix="",
                    separate_folder=False,
                    print_log=False,
                ),
            ]
        )
        with torch.inference_mode():
            for batch in DataLoader(dataset, batch_size=1):
                batch["pred"] = sliding_window_inference(batch["image"].to(device), _PATCH, 4, net)
                for case in decollate_batch(batch):
                    finish(case)


def _preprocessing(keys: tuple[str, ...]) -> list[Any]:
    """Return the transforms that draw nothing: read, orient, resample to 1 mm, normalise."""
    modes = ("bilinear", "nearest")[: len(keys)]
    return [
        LoadImaged(keys=keys),
        EnsureChannelFirstd(keys=keys),
        Orientationd(keys=keys, axcodes="RAS"),
        Spacingd(keys=keys, pixdim=(1.0, 1.0, 1.0), mode=modes),
        NormalizeIntensityd(keys=["image"]),
    ]


def _files(data: Path, split: Path, part: str) -> list[dict[str, str]]:
    folders = {"image": data / "imagesTr", "label": data / "labelsTr"}
    case_ids = json.loads(split.read_text())[part]
    return [{key: str(folder / f"{case_id}.nii.gz") for key, folder in folders.items()} for case_id in case_ids]


def main() -> None:
    """Train or predict."""
    arguments = parse(__doc__)
    if arguments.task == "predict":
        predict(arguments.data, arguments.split, arguments.snapshots, arguments.output)
        return
    train(arguments.data, arguments.split, arguments.folder, arguments.minutes, arguments.interval, arguments.seed)


if __name__ == "__main__":
    main()
