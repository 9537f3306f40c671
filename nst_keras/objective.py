"""The objective: what style transfer makes small, as a function of sums over the positions of an image.

`measure` adds up what the losses need to know of an image, and `loss` makes the losses of these sums. The sums of the
parts of an image add up to those of the whole, and `loss` never sees the image itself.
"""

from nst_keras import losses
from nst_keras._tensorflow import keras, tf
from nst_keras.recipe import Recipe
from nst_keras.styles import styles_from


def measure(image, features, content_features, style_layers, masks=({},)):
    """The sums over positions from which `loss` computes the losses of an image.

    Args:
        image: shape (1, height, width, 3).
        features: its features, {layer: (1, h, w, channels)}, at least at the layers below.
        content_features: features of the content image at the content layers, same shapes.
        style_layers: names of the style layers.
        masks: of each style, how much it counts at the positions of each layer, {layer: (1, h, w, 1)}; {} is 1
            everywhere.

    Returns:
        {"content": {layer: 1/2 Σ (F − P)²}, "gram": [{layer: Gram matrix} of each style], "reached": [{layer: Σ of
        the mask} of each style], "steps": Σ of squared steps from pixel to pixel, "positions": {layer: M, "image":
        number of pixels}}.
    """
    content = {layer: losses.content_loss(features[layer], target) for layer, target in content_features.items()}
    gram = [{layer: losses.gram_matrix(features[layer], mask.get(layer)) for layer in style_layers} for mask in masks]
    counts = {layer: losses.positions(features[layer]) for layer in (*content, *style_layers)}
    reached = [
        {layer: losses.positions_in(mask[layer]) if layer in mask else counts[layer] for layer in style_layers}
        for mask in masks
    ]
    counts["image"] = losses.positions(image)
    steps = losses.squared_steps(image)
    return {"content": content, "gram": gram, "reached": reached, "steps": steps, "positions": counts}


def loss(sums, style_targets, recipe, shares=(1.0,)):
    """The losses of an image, from the sums that `measure` gives.

    Args:
        sums: of the whole image.
        style_targets: mean Gram matrices of each style image, [{layer: (channels, channels)}].
        recipe: a `Recipe` with the weights of losses and layers.
        shares: by which the loss of each style is multiplied.

    Returns:
        {loss name: scalar}: total_loss, content_loss, style_loss, total_variation_loss, style_loss/<layer>, and of
        several styles what each adds to style_loss: style_loss/1, style_loss/2 … in their order. The content loss is
        divided by the number of positions of its layer: a sum grows with the area and E_l does not, so this is what
        keeps the balance of α and β the same at every size. For the same reason E_l of a region is multiplied by
        the region's part of the positions: the fewer a mean is taken over, the harder it pulls at each. So a style
        pulls at a position of its region as hard as it would alone on the whole picture.

    Example:
        >>> recipe = Recipe(content_layers="a", style_layers="a", style_weight=10.0)
        >>> sums = {"content": {"a": 8.0}, "gram": [{"a": np.array([[36.0]])}], "reached": [{"a": 4}], "steps": 0.0}
        >>> losses = loss(sums | {"positions": {"a": 4, "image": 16}}, [{"a": np.array([[1.0]])}], recipe)
        >>> losses["content_loss"], float(losses["style_loss"]), float(losses["total_loss"])
        (2.0, 16.0, 162.0)
    """
    counts = sums["positions"]
    content_losses = {layer: value / counts[layer] for layer, value in sums["content"].items()}

    def layer_loss(layer, share, grams, reached, targets):
        distance = losses.gram_distance(grams[layer] / reached[layer], targets[layer])
        if share == 1 and reached[layer] is counts[layer]:
            return distance  # a factor of 1 would make TensorFlow reorder the operations, and round in another way
        return share * (reached[layer] / counts[layer]) * distance

    styles = zip(shares, sums["gram"], sums["reached"], style_targets, strict=True)
    by_style = [{layer: layer_loss(layer, *style) for layer in recipe.style_layers} for style in styles]
    style_losses = {layer: tf.add_n([one[layer] for one in by_style]) for layer in recipe.style_layers}
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
        **{
            f"style_loss/{number}": losses.weighted_sum(one, recipe.style_layers)
            for number, one in enumerate(by_style, start=1)
            if len(by_style) > 1
        },
    }


def objective_of(extractor, content, styles, recipe):
    """`make_objective` with the weights of a `Recipe`, and a list of `Style`."""
    objective, targets = losses_of(extractor, styles, recipe), targets_of(extractor, content, styles, recipe)
    return lambda image: objective(image, targets)


def losses_of(extractor, styles, recipe):
    """The losses as a function of the generated image and of what `targets_of` gives: one function for all sizes."""
    shares = shares_of(styles)

    def objective(image, targets):
        sums = measure(image, extractor(image), targets["content"], recipe.style_layers, targets["masks"])
        return loss(sums, targets["style"], recipe, shares)

    return objective


def targets_of(extractor, content, styles, recipe):
    """What the losses need to know of the content image and of the styles, computed once.

    Returns:
        {"content": {layer: features}, "style": [{layer: mean Gram matrix} of each style], "masks": [{layer: (1, h, w,
        1)} of each style, {} without a region]}.
    """
    if missing := [layer for layer in recipe.content_layers | recipe.style_layers if layer not in extractor.layers]:
        raise ValueError(f"The extractor does not give {', '.join(missing)}; make it with these layers too.")
    content_features = extractor(content)
    style_targets = []
    for style in styles:
        features, mask = extractor(style.image), masks_of(style.style_region, style.image, extractor)
        style_targets.append(
            {layer: losses.mean_gram_matrix(features[layer], mask.get(layer)) for layer in recipe.style_layers}
        )
    return {
        "content": {layer: content_features[layer] for layer in recipe.content_layers},
        "style": style_targets,
        "masks": [masks_of(region, content, extractor) for region in regions_of(styles)],
    }


def shares_of(styles):
    """By what the loss of each style is multiplied. Where one has a region, the regions carry the shares."""
    if any(style.region is not None for style in styles):
        return [1.0] * len(styles)
    together = sum(style.share for style in styles)
    return [style.share / together for style in styles]


def regions_of(styles):
    """How much every style counts at every pixel, as an image (None: 1 everywhere).

    Where regions overlap, each counts by its share of them: s_k m_k / Σ s_j m_j. Grey regions together count as much
    as they add up to, min(1, Σ m_j): so a soft edge between two of them is painted in full.
    """
    if all(style.region is None for style in styles):
        return [None] * len(styles)
    regions = [tf.constant(1.0) if style.region is None else tf.cast(style.region, "float32") for style in styles]
    shared = [style.share * region for style, region in zip(styles, regions, strict=True)]
    reach = tf.minimum(1.0, sum(regions))
    return [tf.math.divide_no_nan(one, sum(shared)) * reach for one in shared]


def masks_of(region, image, extractor):
    """A mask of an image, averaged down to the positions of every layer, {layer: (1, h, w, 1)}; {} without a mask.

    Each position gets the mean of the pixels that the poolings of the network have put together in it.
    """
    if region is None:
        return {}
    if tuple(region.shape[:3]) != tuple(image.shape[:3]):
        raise ValueError(
            f"A region has the height and width of the image that it is a mask of, {tuple(image.shape[1:3])}, not the "
            f"shape {tuple(region.shape)}."
        )
    grey = tf.reduce_mean(tf.cast(region, keras.config.floatx()), axis=-1, keepdims=True)
    return {layer: tf.nn.avg_pool2d(grey, side, side, "VALID") for layer, side in extractor.spacing.items()}


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
        style: style image, shape (1, any height, any width, 3); or a `Style` of such an image, a list of either, or
            {image: share}. A region has the size of the content, a style region that of the style image.
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
    return objective_of(extractor, content, styles_from(style), recipe)
