"""What editors read: `__init__.py` imports every name only when it is asked for."""

import concurrent.futures
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from nst_keras import (
    colours as colours,
    descent as descent,
    exercises as exercises,
    features as features,
    images as images,
    losses as losses,
    objective as objective,
    pictures as pictures,
    plotting as plotting,
    recipe as recipe,
    styles as styles,
    training as training,
)
from nst_keras.colours import keep_colours as keep_colours, match_colours as match_colours
from nst_keras.features import FeatureExtractor as FeatureExtractor, load_vgg16 as load_vgg16
from nst_keras.images import (
    load_image as load_image,
    noise_image as noise_image,
    save_image as save_image,
    to_pil as to_pil,
)
from nst_keras.losses import (
    content_loss as content_loss,
    gram_matrix as gram_matrix,
    layer_style_loss as layer_style_loss,
    style_loss as style_loss,
    total_loss as total_loss,
    total_variation_loss as total_variation_loss,
)
from nst_keras.objective import make_objective as make_objective
from nst_keras.recipe import CONTENT_LAYERS as CONTENT_LAYERS, STYLE_LAYERS as STYLE_LAYERS, Recipe as Recipe
from nst_keras.styles import Style as Style
from nst_keras.training import StopTransfer as StopTransfer

Layers = str | Iterable[str] | Mapping[str, float]

def transfer_style(
    content: Any,
    style: Any,
    *,
    recipe: Recipe | None = ...,
    initial_step: int = ...,
    callbacks: Callable[[int, dict[str, float], tf.Tensor], object] | Iterable[Callable[..., object]] | None = ...,
    verbose: int = ...,
    vgg16: keras.Model | None = ...,
    workers: concurrent.futures.Executor | None = ...,
    size: int | None = ...,
    content_weight: float = ...,
    style_weight: float = ...,
    total_variation_weight: float = ...,
    content_layers: Layers = ...,
    style_layers: Layers = ...,
    init: Any = ...,
    optimizer: str | keras.optimizers.Optimizer = ...,
    steps: int = ...,
    coarse_to_fine: bool = ...,
    seed: int = ...,
    tile: int | str = ...,
) -> tuple[tf.Tensor, keras.callbacks.History]: ...
