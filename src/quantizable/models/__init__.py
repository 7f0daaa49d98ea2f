"""Float networks to start from; nothing in here knows of bits.

build (build.py): a name -> resnet_cifar, resnet_wide_stem, resnet_imagenet, digits_net, or anybody's own
load_float_weights (float_weights.py): a file of weights -> the network, with an account of what fitted
"""

from quantizable.models.build import build, model_names
from quantizable.models.digits_net import DigitsNet
from quantizable.models.float_weights import WeightReport, load_float_weights
from quantizable.models.resnet_cifar import CifarResNet
from quantizable.models.resnet_imagenet import ImagenetResNet
from quantizable.models.resnet_wide_stem import WideStemResNet

__all__ = [
    "CifarResNet",
    "DigitsNet",
    "ImagenetResNet",
    "WeightReport",
    "WideStemResNet",
    "build",
    "load_float_weights",
    "model_names",
]
