"""The zoo: one small model of every family of public image networks, from timm and torchvision.

A new family is one row. Widths and depths are cut where a name's own are large: a row is to test how a family is wired, within
seconds, and not how large it can be.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its family, where it comes from, its name there, the side of its square images, and options of its builder."""

    family: str
    name: str
    size: int = 64
    options: dict[str, Any] = field(default_factory=dict)
    source: str = "timm"

    def build(self, n_classes: int) -> nn.Module:
        """Return the network with random weights."""
        room = importlib.import_module(f"{self.source}.models")
        if self.name[0].isupper():
            return getattr(room, self.name)(num_classes=n_classes, **self.options)
        if self.source == "timm":
            return room.create_model(self.name, num_classes=n_classes, **self.options)
        return room.get_model(self.name, weights=None, num_classes=n_classes, **self.options)


def _torchvision(family: str, name: str, size: int = 64, **options: Any) -> Model:
    return Model(family, name, size, options, "torchvision")


def _timm(family: str, name: str, size: int = 64, **options: Any) -> Model:
    return Model(family, name, size, options)


_SMALL_VIT = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}

MODELS = (
    # residual networks
    _torchvision("ResNet", "resnet18"),
    _timm("ResNet-D", "test_resnet"),
    _torchvision("ResNeXt", "resnext50_32x4d"),
    _timm("Wide ResNet", "wide_resnet50_2", layers=(1, 1, 1, 1)),
    _timm("ResNetV2 (pre-activation, StdConv)", "resnetv2_18"),
    _timm("NF-RegNet (ScaledStdConv)", "nf_regnet_b0"),
    _timm("NFNet", "test_nfnet"),
    _timm("BAT-ResNeXt (bilinear attention)", "bat_resnext26ts", 256),
    _timm("ECA-BoTNeXt", "eca_botnext26ts_256", 128, img_size=128),
    _timm("LambdaNet", "lambda_resnet26rpt_256", 128, img_size=128),
    _timm("HaloNet", "halonet26t", 256),
    _timm("SE-ResNet", "legacy_seresnet18"),
    _timm("SKNet", "skresnet18"),
    _timm("ResNeSt", "resnest14d"),
    _timm("Res2Net", "res2next50", layers=(1, 1, 1, 1)),
    _timm("TResNet", "tresnet_m", layers=(1, 1, 1, 1)),
    _timm("DPN", "dpn48b"),
    _timm("RDNet", "rdnet_tiny", num_blocks_list=(1, 1, 1, 1, 1, 1, 1)),
    # plain and dense
    _timm("VGG", "VGG", cfg=[16, "M", 32, "M", 32, "M", 32, "M", 32, "M"], norm_layer=nn.BatchNorm2d),
    _torchvision("SqueezeNet", "squeezenet1_1"),
    _torchvision("DenseNet", "densenet121"),
    _timm("DLA", "dla46x_c"),
    _timm("HRNet", "hrnet_w18_small"),
    _timm("SelecSLS", "selecsls42"),
    _timm("VoVNet", "ese_vovnet19b_slim_dw"),
    _timm("CSPNet", "cs3darknet_focus_s"),
    _timm("CSPNeXt", "cspnext_tiny"),
    _timm("HGNet", "hgnetv2_b0"),
    # inception
    _torchvision("GoogLeNet", "googlenet", aux_logits=False, init_weights=True),
    _timm("Inception v3", "inception_v3", 75),
    _timm("Inception v4", "inception_v4", 75),
    _timm("Xception", "xception41p"),
    _timm("Inception-NeXt", "inception_next_atto"),
    # small convolutional
    _timm("MobileNet v1", "mobilenetv1_100"),
    _torchvision("MobileNet v2", "mobilenet_v2"),
    _torchvision("MobileNet v3", "mobilenet_v3_small"),
    _timm("MobileNet v4", "mobilenetv4_conv_small_050"),
    _timm("EfficientNet", "test_efficientnet"),
    _timm("EfficientNet (tf, Conv2dSame)", "tf_efficientnet_b0"),
    _torchvision("MnasNet", "mnasnet0_5"),
    _torchvision("RegNet", "regnet_x_400mf"),
    _torchvision("ShuffleNet v2", "shufflenet_v2_x0_5"),
    _timm("TinyNet", "tinynet_e", 106),
    _timm("LCNet", "lcnet_035"),
    _timm("HardCoRe-NAS", "hardcorenas_a"),
    _timm("ReXNet", "rexnet_100"),
    _timm("GhostNet", "ghostnet_050"),
    _timm("RepGhost", "repghostnet_050"),
    _timm("RepVGG", "repvgg_a0"),
    _timm("MobileOne", "mobileone_s0"),
    _timm("RepViT", "repvit_m0_9"),
    _timm("StarNet", "starnet_s050"),
    _timm("FasterNet", "fasternet_t0"),
    _timm("SHViT", "shvit_s1"),
    _timm("FBNet", "fbnetc_100"),
    # modern convolutional
    _timm("ConvNeXt", "test_convnext"),
    _timm("ConvMixer", "ConvMixer", dim=64, depth=2),
    _timm("MambaOut", "test_mambaout"),
    _timm("FocalNet", "FocalNet", depths=(1, 1, 1, 1), embed_dim=32),
    _timm("Visformer", "visformer_tiny", 224, depth=(1, 1, 1)),
    # mlp
    _timm("MLP-Mixer", "mixer_s32_224", img_size=64),
    _timm("gMLP", "gmlp_ti16_224", img_size=64),
    _timm("ResMLP", "resmlp_12_224", img_size=64),
    _timm("Sequencer", "sequencer2d_s", img_size=64, layers=(1, 1, 1, 1)),
    # transformers
    _torchvision("ViT (nn.MultiheadAttention)", "VisionTransformer", 32, **_SMALL_VIT),
    _timm("ViT", "test_vit", 32, img_size=32),
    _timm("ViT, relative positions", "test_vit_relpos", 32, img_size=32),
    _timm("ViT, hybrid", "vit_tiny_r_s16_p8_224", img_size=64, depth=2),
    _timm("DeiT", "deit_tiny_distilled_patch16_224", 32, img_size=32, depth=2),
    _timm("BEiT", "beit_base_patch16_224", 32, img_size=32, depth=2, embed_dim=96, num_heads=3),
    _timm("EVA-02", "eva02_tiny_patch14_224", 42, img_size=42, depth=2),
    _timm("CaiT", "cait_xxs24_224", 32, img_size=32, depth=2),
    _timm("Swin", "swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(1, 1, 2, 1), embed_dim=48),
    _timm("Swin v2", "swinv2_tiny_window8_256", img_size=64, window_size=4, depths=(1, 1, 2, 1), embed_dim=48),
    _timm("Swin v2, CR", "swinv2_cr_tiny_224", img_size=64, window_size=2, depths=(1, 1, 2, 1), embed_dim=48),
    _timm("Twins", "twins_pcpvt_small", img_size=64, depths=(1, 1, 1, 1)),
    _timm("PVT v2", "pvt_v2_b0"),
    _timm("CrossViT", "crossvit_tiny_240", 120, img_size=120),
    _timm("CoaT", "coat_lite_tiny", img_size=64),
    _timm("ConViT", "convit_tiny", 32, img_size=32, depth=2, local_up_to_layer=1),
    _timm("TNT", "tnt_s_patch16_224", 32, img_size=32, depth=2),
    _timm("XCiT", "xcit_nano_12_p8_224", 32, img_size=32, depth=2),
    _timm("VOLO", "volo_d1_224", 32, img_size=32),
    _timm("NesT", "nest_tiny", img_size=64),
    _timm("PiT", "pit_ti_224", img_size=64),
    _timm("DaViT", "davit_tiny", depths=(1, 1, 1, 1), embed_dims=(32, 64, 128, 256), num_heads=(1, 2, 4, 8)),
    _timm("GC-ViT", "gcvit_xxtiny", img_size=64, window_size=(2, 2, 2, 2)),
    _timm("MViT v2", "mvitv2_tiny", img_size=64),
    _timm("Hiera", "hiera_tiny_224", 224, stages=(1, 1, 1, 1)),
    _timm("LeViT", "levit_128s", img_size=64),
    _timm("MaxViT", "test_maxvit", img_size=64),
    _timm("CoAtNet", "test_coatnet", img_size=64),
    _timm("PoolFormer (MetaFormer)", "poolformerv2_s12"),
    _timm("EdgeNeXt", "edgenext_xx_small"),
    _timm("MobileViT", "mobilevit_xxs"),
    _timm("MobileViT v2", "mobilevitv2_050"),
    _timm("FastViT", "fastvit_t8"),
    _timm("EfficientFormer", "efficientformer_l1", 224, depths=(1, 1, 1, 2)),
    _timm("EfficientFormer v2", "efficientformerv2_s0", img_size=64),
    _timm("EfficientViT (MIT)", "efficientvit_b0"),
    _timm("EfficientViT (MSRA)", "efficientvit_m0", img_size=64),
    _timm("TinyViT", "tiny_vit_5m_224"),
    _timm("SwiftFormer", "swiftformer_xs", 224),
    _timm("Next-ViT", "nextvit_small"),
    _timm("ViTamin", "vitamin_small_224", img_size=64),
)
