"""Checks for the exercises in the notebooks: a room for each notebook, and the engine in check.py."""

from nst_keras.exercises.content_loss import check_content_gradient, check_content_loss, check_gradient_step
from nst_keras.exercises.features import check_feature_shape, check_preprocess, check_receptive_field, check_relu
from nst_keras.exercises.gram_matrix import check_cosine_gram, check_gram_matrix, check_mean_gram_matrix
from nst_keras.exercises.style_loss import check_balanced_weights, check_layer_shares, check_layer_style_loss
from nst_keras.exercises.total_loss import check_balanced_content_loss, check_total_loss, check_total_variation
from nst_keras.exercises.training_loop import check_first_adam_step, check_normalised_step, check_stage_sizes

__all__ = [
    "check_balanced_content_loss",
    "check_balanced_weights",
    "check_content_gradient",
    "check_content_loss",
    "check_cosine_gram",
    "check_feature_shape",
    "check_first_adam_step",
    "check_gradient_step",
    "check_gram_matrix",
    "check_layer_shares",
    "check_layer_style_loss",
    "check_mean_gram_matrix",
    "check_normalised_step",
    "check_preprocess",
    "check_receptive_field",
    "check_relu",
    "check_stage_sizes",
    "check_total_loss",
    "check_total_variation",
]
