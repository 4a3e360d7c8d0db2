"""The tutorial's DVBPR with AlexNet: torchvision's network, a last layer of K, pixels in 0 … 1 as they are."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from tests.tutorial_files import write_checkpoint, write_csv, write_embedding

from visrec.converting.conversion import convert
from visrec.features.features import Features
from visrec.recommender import load_model


def test_tutorial_error_2_each_item_has_its_own_picture_in_dvbpr_with_alexnet(tmp_path):
    from torchvision.models import alexnet

    K, items, users = 5, ["8", "30", "4"], ["1", "2"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = alexnet(weights=None)
        net.classifier[-1] = torch.nn.Linear(4096, K)
        tables = [torch.rand(2, K), torch.rand(2, 3), torch.rand(3, 3)]
    state = {f"cnn.{name}": t for name, t in net.state_dict().items()}
    theta_u, gamma_u, gamma_i = tables
    names = ("theta_users.weight", "gamma_users.weight", "gamma_items.weight")
    source = tmp_path / "tutorial"
    write_checkpoint(source / "DVBPR.tar", {**state, **dict(zip(names, tables, strict=True))})
    images = np.random.default_rng(0).integers(0, 256, size=(3, 224, 224, 3), dtype=np.uint8)
    (source / "images").mkdir()
    for item, image in zip(items, images, strict=True):
        Image.fromarray(image).save(source / "images" / f"{item}.png")
    write_embedding(source / "embedding-resnet50.npy", items, np.ones((3, 2)))
    rows = [("1", "8", 1), ("1", "4", 2), ("2", "30", 1), ("2", "4", 3)]
    write_csv(source / "wikimedia.csv", "user_id,item_id,timestamp", rows)

    convert("tutorial", source, tmp_path / "data")

    net.eval()
    with torch.no_grad():
        phi = net(torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255)))  # (3, K)
    expected = theta_u @ phi.T + gamma_u @ gamma_i.T
    pixels = Features.load(tmp_path / "data" / "features" / "pixels")
    model = load_model(tmp_path / "data" / "models" / "DVBPR", pixels)
    np.testing.assert_allclose(model.score(users, items), expected, rtol=1e-4, atol=1e-6)
    model.refresh()  # from the pixels again
    np.testing.assert_allclose(model.score(users, items), expected, rtol=1e-4, atol=1e-6)
