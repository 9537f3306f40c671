"""The objective: what style transfer makes small, as a function of sums over the positions of an image.

`measure` adds up what the losses need to know of an image, and `loss` makes the losses of these sums. The sums of the
parts of an image add up to those of the whole, and `loss` never sees the image itself.
"""

from nst_keras import losses
from nst_keras._tensorflow import tf
from nst_keras.recipe import Recipe


def measure(image, features, content_features, style_layers):
    """The sums over positions from which `loss` computes the losses of an image.

    Args:
        image: shape (1, height, width, 3).
        features: its features, {layer: (1, h, w, channels)}, at least at the layers below.
        content_features: features of the content image at the content layers, same shapes.
        style_layers: names of the style layers.

    Returns:
        {"content": {layer: 1/2 Σ (F − P)²}, "gram": {layer: Gram matrix}, "steps": Σ of squared steps from pixel to
        pixel, "positions": {layer: M, "image": number of pixels}}.
    """
    content = {layer: losses.content_loss(features[layer], target) for layer, target in content_features.items()}
    gram = {layer: losses.gram_matrix(features[layer]) for layer in style_layers}
    counts = {layer: losses.positions(features[layer]) for layer in (*content, *gram)}
    counts["image"] = losses.positions(image)
    return {"content": content, "gram": gram, "steps": losses.squared_steps(image), "positions": counts}


def loss(sums, style_targets, recipe):
    """The losses of an image, from the sums that `measure` gives.

    Args:
        sums: of the whole image.
        style_targets: mean Gram matrices of the style image, {layer: (channels, channels)}.
        recipe: a `Recipe` with the weights of losses and layers.

    Returns:
        {loss name: scalar}: total_loss, content_loss, style_loss, total_variation_loss, style_loss/<layer>. The
        content loss is divided by the number of positions of its layer: a sum grows with the area and E_l does
        not, so this is what keeps the balance of α and β the same at every size.

    Example:
        >>> recipe = Recipe(content_layers="a", style_layers="a", style_weight=10.0)
        >>> sums = {"content": {"a": 8.0}, "gram": {"a": np.array([[36.0]])}, "steps": 0.0}
        >>> losses = loss(sums | {"positions": {"a": 4, "image": 16}}, {"a": np.array([[1.0]])}, recipe)
        >>> losses["content_loss"], float(losses["style_loss"]), float(losses["total_loss"])
        (2.0, 16.0, 162.0)
    """
    counts = sums["positions"]
    content_losses = {layer: value / counts[layer] for layer, value in sums["content"].items()}
    style_losses = {
        layer: losses.gram_distance(gram / counts[layer], style_targets[layer]) for layer, gram in sums["gram"].items()
    }
    content = losses.weighted_sum(content_losses, recipe.content_layers)
    style = losses.weighted_sum(style_losses, recipe.style_layers)
    variation = tf.cast(sums["steps"] / counts["image"], style.dtype)  # Keras may be set to float64
    total = losses.total_loss(content, style, recipe.content_weight, recipe.style_weight)
    return {
        "total_loss": total + recipe.total_variation_weight * variation,
        "content_loss": content,
        "style_loss": style,
        "total_variation_loss": variation,
        **{f"style_loss/{layer}": value for layer, value in style_losses.items()},
    }


def objective_of(extractor, content, style, recipe):
    """`make_objective` with the weights of a `Recipe`."""
    if missing := [layer for layer in recipe.content_layers | recipe.style_layers if layer not in extractor.layers]:
        raise ValueError(f"The extractor does not give {', '.join(missing)}; make it with these layers too.")
    content_features, style_features = extractor(content), extractor(style)
    content_features = {layer: content_features[layer] for layer in recipe.content_layers}
    style_targets = {layer: losses.mean_gram_matrix(style_features[layer]) for layer in recipe.style_layers}

    def objective(image):
        sums = measure(image, extractor(image), content_features, recipe.style_layers)
        return loss(sums, style_targets, recipe)

    return objective


def make_objective(
    extractor,
    content,
    style,
    *,
    content_weight=Recipe.content_weight,
    style_weight=Recipe.style_weight,
    total_variation_weight=Recipe.total_variation_weight,
    content_layers=Recipe.content_layers,
    style_layers=Recipe.style_layers,
):
    """Compute the targets of both images once, and return the losses as a function of the generated image.

    Args:
        extractor: a `FeatureExtractor` of all the layers below.
        content: content image, shape (1, height, width, 3); the generated image has its size.
        style: style image, shape (1, any height, any width, 3).
        content_weight, style_weight, total_variation_weight, content_layers, style_layers: as in `Recipe`.

    Returns:
        Function of an image (1, height, width, 3) that gives {loss name: scalar tensor}, as `loss` in objective.py.

    Example:
        >>> objective = make_objective(FeatureExtractor(CONTENT_LAYERS + STYLE_LAYERS), content, style)
        >>> float(objective(content)["content_loss"])
        0.0
    """
    recipe = Recipe(
        content_weight=content_weight,
        style_weight=style_weight,
        total_variation_weight=total_variation_weight,
        content_layers=content_layers,
        style_layers=style_layers,
    )
    return objective_of(extractor, content, style, recipe)
