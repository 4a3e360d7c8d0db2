"""Networks that the field names: what each is called here and at its source, and what is published of its weights.

Any other network of torchvision or timm is an extractor too; the facts of these are known without importing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Top1Kind = Literal["supervised", "linear probe", "zero-shot"]
"""What classified ImageNet: the network, having learnt the labels; a linear layer learnt on its frozen features; or
the nearest of the classes' names."""


@dataclass(frozen=True)
class Network:
    """A network with the weights that it is loaded with.

    Attributes:
        name: what the user types.
        source: "torchvision" or "timm".
        id: its name there, with timm's tag where its default weights are others.
        weights: which weights all this is true of, as the source calls them.
        family: networks of one kind.
        paper: the work that proposed it.
        dim: length of the vector taken by default, the input of the classifier; in CLIP the embedding that pictures
            share with texts.
        n_params: parameters, with the classifier where one is published.
        input_size: side of the square picture it sees, in pixels.
        top1: accuracy on ImageNet-1k (validation) in percent, as published of these weights; None: not published.
        top5: likewise, the right class among the first five.
        top1_kind: how that was measured; do not compare across kinds without saying so. None: no top1.
        licence: of the weights; SPDX where it has one.
    """

    name: str
    source: Literal["torchvision", "timm"]
    id: str
    weights: str
    family: str
    paper: str
    dim: int
    n_params: int
    input_size: int
    top1: float | None
    top5: float | None
    top1_kind: Top1Kind | None
    licence: str


def network(name: str) -> Network | None:
    """The network of that name, or "source:id"; None: not one of the table."""
    return next((one for one in NETWORKS if name in (one.name, f"{one.source}:{one.id}")), None)


def facts(source: str, name: str) -> Network | None:
    """What is known of a network by its name at the source, with or without the tag of its default weights.

    None with any other tag: other weights have another accuracy.
    """
    for one in NETWORKS:
        tagged = f"{one.id.partition('.')[0]}.{one.weights}"
        if source == one.source and name in (one.id, tagged):
            return one
    return None


# fmt: off
NETWORKS: tuple[Network, ...] = (
    # torchvision: from the metadata of its weights. Their licence is that of its repository; ImageNet, which they are
    # learnt from, has terms of its own. The auxiliary classifier of inception_v3 is counted, those of googlenet not.
    Network("alexnet", "torchvision", "alexnet", "IMAGENET1K_V1", "AlexNet",
            "Krizhevsky et al. 2012", 4096, 61_100_840, 224, 56.522, 79.066, "supervised", "BSD-3-Clause"),
    Network("vgg16", "torchvision", "vgg16", "IMAGENET1K_V1", "VGG",
            "Simonyan & Zisserman 2015", 4096, 138_357_544, 224, 71.592, 90.382, "supervised", "BSD-3-Clause"),
    Network("vgg19", "torchvision", "vgg19", "IMAGENET1K_V1", "VGG",
            "Simonyan & Zisserman 2015", 4096, 143_667_240, 224, 72.376, 90.876, "supervised", "BSD-3-Clause"),
    Network("googlenet", "torchvision", "googlenet", "IMAGENET1K_V1", "Inception",
            "Szegedy et al. 2015", 1024, 6_624_904, 224, 69.778, 89.530, "supervised", "BSD-3-Clause"),
    Network("inception_v3", "torchvision", "inception_v3", "IMAGENET1K_V1", "Inception",
            "Szegedy et al. 2016", 2048, 27_161_264, 299, 77.294, 93.450, "supervised", "BSD-3-Clause"),
    Network("resnet18", "torchvision", "resnet18", "IMAGENET1K_V1", "ResNet",
            "He et al. 2016", 512, 11_689_512, 224, 69.758, 89.078, "supervised", "BSD-3-Clause"),
    Network("resnet34", "torchvision", "resnet34", "IMAGENET1K_V1", "ResNet",
            "He et al. 2016", 512, 21_797_672, 224, 73.314, 91.420, "supervised", "BSD-3-Clause"),
    Network("resnet50", "torchvision", "resnet50", "IMAGENET1K_V2", "ResNet",
            "He et al. 2016", 2048, 25_557_032, 224, 80.858, 95.434, "supervised", "BSD-3-Clause"),
    Network("resnet101", "torchvision", "resnet101", "IMAGENET1K_V2", "ResNet",
            "He et al. 2016", 2048, 44_549_160, 224, 81.886, 95.780, "supervised", "BSD-3-Clause"),
    Network("resnet152", "torchvision", "resnet152", "IMAGENET1K_V2", "ResNet",
            "He et al. 2016", 2048, 60_192_808, 224, 82.284, 96.002, "supervised", "BSD-3-Clause"),
    Network("resnext50_32x4d", "torchvision", "resnext50_32x4d", "IMAGENET1K_V2", "ResNeXt",
            "Xie et al. 2017", 2048, 25_028_904, 224, 81.198, 95.340, "supervised", "BSD-3-Clause"),
    Network("densenet121", "torchvision", "densenet121", "IMAGENET1K_V1", "DenseNet",
            "Huang et al. 2017", 1024, 7_978_856, 224, 74.434, 91.972, "supervised", "BSD-3-Clause"),
    Network("squeezenet1_0", "torchvision", "squeezenet1_0", "IMAGENET1K_V1", "SqueezeNet",
            "Iandola et al. 2016", 512, 1_248_424, 224, 58.092, 80.420, "supervised", "BSD-3-Clause"),
    Network("squeezenet1_1", "torchvision", "squeezenet1_1", "IMAGENET1K_V1", "SqueezeNet",
            "Iandola et al. 2016", 512, 1_235_496, 224, 58.178, 80.624, "supervised", "BSD-3-Clause"),
    Network("shufflenet_v2_x1_0", "torchvision", "shufflenet_v2_x1_0", "IMAGENET1K_V1", "ShuffleNet",
            "Ma et al. 2018", 1024, 2_278_604, 224, 69.362, 88.316, "supervised", "BSD-3-Clause"),
    Network("mobilenet_v2", "torchvision", "mobilenet_v2", "IMAGENET1K_V2", "MobileNet",
            "Sandler et al. 2018", 1280, 3_504_872, 224, 72.154, 90.822, "supervised", "BSD-3-Clause"),
    Network("mobilenet_v3_small", "torchvision", "mobilenet_v3_small", "IMAGENET1K_V1", "MobileNet",
            "Howard et al. 2019", 1024, 2_542_856, 224, 67.668, 87.402, "supervised", "BSD-3-Clause"),
    Network("mobilenet_v3_large", "torchvision", "mobilenet_v3_large", "IMAGENET1K_V2", "MobileNet",
            "Howard et al. 2019", 1280, 5_483_032, 224, 75.274, 92.566, "supervised", "BSD-3-Clause"),
    Network("mnasnet1_0", "torchvision", "mnasnet1_0", "IMAGENET1K_V1", "MNASNet",
            "Tan et al. 2019", 1280, 4_383_312, 224, 73.456, 91.510, "supervised", "BSD-3-Clause"),
    Network("efficientnet_b0", "torchvision", "efficientnet_b0", "IMAGENET1K_V1", "EfficientNet",
            "Tan & Le 2019", 1280, 5_288_548, 224, 77.692, 93.532, "supervised", "BSD-3-Clause"),
    Network("efficientnet_b3", "torchvision", "efficientnet_b3", "IMAGENET1K_V1", "EfficientNet",
            "Tan & Le 2019", 1536, 12_233_232, 300, 82.008, 96.054, "supervised", "BSD-3-Clause"),
    Network("efficientnet_b4", "torchvision", "efficientnet_b4", "IMAGENET1K_V1", "EfficientNet",
            "Tan & Le 2019", 1792, 19_341_616, 380, 83.384, 96.594, "supervised", "BSD-3-Clause"),
    Network("efficientnet_b7", "torchvision", "efficientnet_b7", "IMAGENET1K_V1", "EfficientNet",
            "Tan & Le 2019", 2560, 66_347_960, 600, 84.122, 96.908, "supervised", "BSD-3-Clause"),
    Network("efficientnet_v2_s", "torchvision", "efficientnet_v2_s", "IMAGENET1K_V1", "EfficientNet",
            "Tan & Le 2021", 1280, 21_458_488, 384, 84.228, 96.878, "supervised", "BSD-3-Clause"),
    Network("convnext_tiny", "torchvision", "convnext_tiny", "IMAGENET1K_V1", "ConvNeXt",
            "Liu et al. 2022", 768, 28_589_128, 224, 82.520, 96.146, "supervised", "BSD-3-Clause"),
    Network("convnext_small", "torchvision", "convnext_small", "IMAGENET1K_V1", "ConvNeXt",
            "Liu et al. 2022", 768, 50_223_688, 224, 83.616, 96.650, "supervised", "BSD-3-Clause"),
    Network("convnext_base", "torchvision", "convnext_base", "IMAGENET1K_V1", "ConvNeXt",
            "Liu et al. 2022", 1024, 88_591_464, 224, 84.062, 96.870, "supervised", "BSD-3-Clause"),
    Network("swin_t", "torchvision", "swin_t", "IMAGENET1K_V1", "Swin",
            "Liu et al. 2021", 768, 28_288_354, 224, 81.474, 95.776, "supervised", "BSD-3-Clause"),
    Network("swin_b", "torchvision", "swin_b", "IMAGENET1K_V1", "Swin",
            "Liu et al. 2021", 1024, 87_768_224, 224, 83.582, 96.640, "supervised", "BSD-3-Clause"),
    Network("vit_b_16", "torchvision", "vit_b_16", "IMAGENET1K_V1", "ViT",
            "Dosovitskiy et al. 2021", 768, 86_567_656, 224, 81.072, 95.318, "supervised", "BSD-3-Clause"),
    Network("vit_b_32", "torchvision", "vit_b_32", "IMAGENET1K_V1", "ViT",
            "Dosovitskiy et al. 2021", 768, 88_224_232, 224, 75.912, 92.466, "supervised", "BSD-3-Clause"),
    Network("vit_l_16", "torchvision", "vit_l_16", "IMAGENET1K_V1", "ViT",
            "Dosovitskiy et al. 2021", 1024, 304_326_632, 224, 79.662, 94.638, "supervised", "BSD-3-Clause"),
    # timm: licences are what `timm.get_pretrained_cfg` says, but for OpenAI's.
    # Accuracies: results/results-imagenet.csv of github.com/huggingface/pytorch-image-models, at the input size given
    # here. mobilenet_v1 is newer: README there, "MobileNet-V1 and EfficientNet-B0 baseline challenges", at 224.
    Network("inception_v4", "timm", "inception_v4", "tf_in1k", "Inception",
            "Szegedy et al. 2017", 1536, 42_679_816, 299, 80.156, 94.968, "supervised", "Apache-2.0"),
    Network("inception_resnet_v2", "timm", "inception_resnet_v2", "tf_in1k", "Inception",
            "Szegedy et al. 2017", 1536, 55_843_464, 299, 80.462, 95.308, "supervised", "Apache-2.0"),
    Network("xception", "timm", "legacy_xception", "tf_in1k", "Xception",
            "Chollet 2017", 2048, 22_855_952, 299, 79.040, 94.382, "supervised", "Apache-2.0"),
    Network("nasnet_large", "timm", "nasnetalarge", "tf_in1k", "NASNet",
            "Zoph et al. 2018", 4032, 88_753_150, 331, 82.626, 96.042, "supervised", "Apache-2.0"),
    Network("pnasnet_large", "timm", "pnasnet5large", "tf_in1k", "PNASNet",
            "Liu et al. 2018", 4320, 86_057_668, 331, 82.782, 96.040, "supervised", "Apache-2.0"),
    Network("mobilenet_v1", "timm", "mobilenetv1_100", "ra4_e3600_r224_in1k", "MobileNet",
            "Howard et al. 2017", 1024, 4_231_976, 224, 75.382, 92.312, "supervised", "Apache-2.0"),
    Network("vit_base_patch16_224", "timm", "vit_base_patch16_224", "augreg2_in21k_ft_in1k", "ViT",
            "Dosovitskiy et al. 2021", 768, 86_567_656, 224, 85.096, 97.530, "supervised", "Apache-2.0"),
    Network("deit_small_patch16_224", "timm", "deit_small_patch16_224", "fb_in1k", "DeiT",
            "Touvron et al. 2021", 384, 22_050_664, 224, 79.844, 95.044, "supervised", "Apache-2.0"),
    Network("deit_base_patch16_224", "timm", "deit_base_patch16_224", "fb_in1k", "DeiT",
            "Touvron et al. 2021", 768, 86_567_656, 224, 81.992, 95.736, "supervised", "Apache-2.0"),
    Network("beit_base_patch16_224", "timm", "beit_base_patch16_224", "in22k_ft_in22k_in1k", "BEiT",
            "Bao et al. 2022", 768, 86_530_984, 224, 85.212, 97.658, "supervised", "Apache-2.0"),
    Network("eva02", "timm", "eva02_base_patch14_448", "mim_in22k_ft_in22k_in1k", "EVA-02",
            "Fang et al. 2024", 768, 87_117_544, 448, 88.692, 98.724, "supervised", "MIT"),
    # README of github.com/facebookresearch/dino and of /dinov2.
    Network("dino", "timm", "vit_small_patch16_224.dino", "dino", "DINO",
            "Caron et al. 2021", 384, 21_665_664, 224, 77.0, None, "linear probe", "Apache-2.0"),
    Network("dino_base", "timm", "vit_base_patch16_224.dino", "dino", "DINO",
            "Caron et al. 2021", 768, 85_798_656, 224, 78.2, None, "linear probe", "Apache-2.0"),
    Network("dinov2", "timm", "vit_small_patch14_dinov2", "lvd142m", "DINOv2",
            "Oquab et al. 2024", 384, 22_056_192, 518, 81.1, None, "linear probe", "Apache-2.0"),
    Network("dinov2_base", "timm", "vit_base_patch14_dinov2", "lvd142m", "DINOv2",
            "Oquab et al. 2024", 768, 86_579_712, 518, 84.5, None, "linear probe", "Apache-2.0"),
    Network("dinov2_large", "timm", "vit_large_patch14_dinov2", "lvd142m", "DINOv2",
            "Oquab et al. 2024", 1024, 304_367_616, 518, 86.3, None, "linear probe", "Apache-2.0"),
    Network("dinov2_reg", "timm", "vit_small_patch14_reg4_dinov2", "lvd142m", "DINOv2",
            "Darcet et al. 2024", 384, 22_057_344, 518, 80.9, None, "linear probe", "Apache-2.0"),
    Network("dinov2_reg_base", "timm", "vit_base_patch14_reg4_dinov2", "lvd142m", "DINOv2",
            "Darcet et al. 2024", 768, 86_582_016, 518, 84.6, None, "linear probe", "Apache-2.0"),
    # Of these sizes only the accuracy on ImageNet-ReaL is published (model card; Table 14 of the paper).
    Network("dinov3", "timm", "vit_small_patch16_dinov3", "lvd1689m", "DINOv3",
            "Siméoni et al. 2025", 384, 21_586_944, 256, None, None, None, "DINOv3 License"),
    Network("dinov3_base", "timm", "vit_base_patch16_dinov3", "lvd1689m", "DINOv3",
            "Siméoni et al. 2025", 768, 85_641_216, 256, None, None, None, "DINOv3 License"),
    Network("dinov3_convnext", "timm", "convnext_tiny.dinov3_lvd1689m", "dinov3_lvd1689m", "DINOv3",
            "Siméoni et al. 2025", 768, 27_820_128, 224, None, None, None, "DINOv3 License"),
    # docs/openclip_results.csv of github.com/mlfoundations/open_clip. The weights are OpenAI's, under the licence of
    # github.com/openai/CLIP (timm says Apache-2.0). They were learnt with QuickGELU: timm's networks without it in
    # their names take them too, but give other vectors.
    Network("clip", "timm", "vit_base_patch32_clip_quickgelu_224.openai", "openai", "CLIP",
            "Radford et al. 2021", 512, 87_849_728, 224, 63.32, None, "zero-shot", "MIT"),
    Network("clip_b16", "timm", "vit_base_patch16_clip_quickgelu_224.openai", "openai", "CLIP",
            "Radford et al. 2021", 512, 86_193_152, 224, 68.34, None, "zero-shot", "MIT"),
    Network("clip_l14", "timm", "vit_large_patch14_clip_quickgelu_224.openai", "openai", "CLIP",
            "Radford et al. 2021", 768, 303_966_976, 224, 75.54, None, "zero-shot", "MIT"),
    # siglip: likewise. siglip2: README_siglip2.md of github.com/google-research/big_vision. One network, two weights.
    Network("siglip", "timm", "vit_base_patch16_siglip_224.webli", "webli", "SigLIP",
            "Zhai et al. 2023", 768, 92_884_224, 224, 76.04, None, "zero-shot", "Apache-2.0"),
    Network("siglip2", "timm", "vit_base_patch16_siglip_224.v2_webli", "v2_webli", "SigLIP",
            "Tschannen et al. 2025", 768, 92_884_224, 224, 78.2, None, "zero-shot", "Apache-2.0"),
)
# fmt: on
