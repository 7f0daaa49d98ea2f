"""Pictures and labels, checked before training starts.

    load_data (sources.py) -> Splits of Images | FolderImages -> Loader -> (float32 NCHW, int64) batches
A new data set is one file with a loader and one line in the table of sources.py.
"""

from quantizable.data.augment import Augment, normalize
from quantizable.data.batches import batches
from quantizable.data.cifar import CIFAR10, CIFAR100, CifarArchive, load_cifar
from quantizable.data.decode import ResizedCrop
from quantizable.data.folder import FolderImages
from quantizable.data.images import Images
from quantizable.data.loader import Loader
from quantizable.data.sources import data_names, load_data
from quantizable.data.splits import ImageSet, Splits

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "Augment",
    "CifarArchive",
    "FolderImages",
    "ImageSet",
    "Images",
    "Loader",
    "ResizedCrop",
    "Splits",
    "batches",
    "data_names",
    "load_cifar",
    "load_data",
    "normalize",
]
