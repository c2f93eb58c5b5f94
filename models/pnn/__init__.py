"""Photonic neural networks that train: meshes as torch modules, the networks made of them, and their training."""

from .data import DATASETS, Split, load
from .history import History, plot
from .insitu import InSitu
from .layers import Attenuators, Bias, Diagonal, MeshLinear, Photodetector
from .mesh import Mesh
from .networks import MeshNetwork
from .training import Training, evaluate, train

__all__ = [
    "DATASETS",
    "Attenuators",
    "Bias",
    "Diagonal",
    "History",
    "InSitu",
    "Mesh",
    "MeshLinear",
    "MeshNetwork",
    "Photodetector",
    "Split",
    "Training",
    "evaluate",
    "load",
    "plot",
    "train",
]
