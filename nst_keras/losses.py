"""The article's formulas, one function each. Pure functions of tensors: no state, no files.

All of them take NumPy arrays or tensors, work inside `tf.function`, and can be differentiated.
Features have the shape (1, height, width, channels). The letters are those of Gatys, Ecker and Bethge,
"A Neural Algorithm of Artistic Style" (2015, arXiv 1508.06576): at one layer, N is the number of channels
and M = height × width the number of positions.
"""

from nst_keras._tensorflow import compiled_once, tf

LEAST_POSITIONS = 1e-6


def gram_matrix(features, mask=None):
    """How strongly every pair of channels fires together: G_ij = Σ_k F_ik F_jk.

    The sum runs over all positions k, so the matrix knows what occurs together, and forgets where.

    Args:
        features: features of one image at one layer, shape (1, height, width, channels).
        mask: how much each position counts, shape (1, height, width, 1), values from 0 to 1: G_ij = Σ_k m_k F_ik F_jk,
            the guided Gram matrix of Gatys et al. (2017, arXiv 1611.07865), section 4. It is the product at a
            position that counts in part, so the features themselves are multiplied by the root of the mask. A
            position in grey, 0.5, is half a position in the matrix and in the number it is divided by. None
            takes all positions, as a mask of ones does.

    Returns:
        Tensor of shape (channels, channels), symmetric, not divided by anything: G^l of Gatys et al.
        (2015), eq. 3.

    Raises:
        ValueError: if `features` has another shape, or holds no position.

    Example:
        >>> features = np.array([[[[1.0, 2.0], [3.0, 0.0]]]])  # two positions, two channels
        >>> gram_matrix(features).numpy()
        array([[10.,  2.],
               [ 2.,  4.]])
        >>> gram_matrix(features, mask=np.array([[[[1.0], [0.5]]]])).numpy()  # the second counts half
        array([[5.5, 2. ],
               [2. , 4. ]])
    """
    features = _as_features(features, "features")
    masks = () if mask is None else (tf.cast(mask, features.dtype),)
    return _products(features, *masks)


@compiled_once
@tf.custom_gradient
def _products(features, *mask):
    by_position = tf.reshape(features, (-1, features.shape[-1]))
    masked = by_position * tf.reshape(*mask, (-1, 1)) if mask else by_position

    def gradient(slope):
        # m F (D + Dᵀ): one more product, where TensorFlow's own takes two.
        upstream = tf.matmul(masked, slope + tf.linalg.matrix_transpose(slope))
        return tf.reshape(upstream, tf.shape(features)), *(None for _ in mask)

    return tf.matmul(by_position, masked, transpose_a=True), gradient


def content_loss(generated, content):
    """Squared distance of two feature maps: how far two images differ in content at one layer.

    Args:
        generated: features of the generated image, shape (1, height, width, channels).
        content: features of the content image at the same layer, same shape.

    Returns:
        Scalar tensor: 1/2 Σ (F − P)² of Gatys et al. (2015), eq. 1.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> float(content_loss(np.full((1, 2, 2, 3), 3.0), np.full((1, 2, 2, 3), 1.0)))
        24.0
    """
    generated, content = _as_pair(generated, content, "content")
    if not generated.shape.is_compatible_with(content.shape):
        raise ValueError(
            f"content_loss compares features position by position, so both need one shape: generated has "
            f"{tuple(generated.shape)}, content {tuple(content.shape)}. Bring both images to one size first."
        )
    return tf.reduce_sum(tf.square(generated - content)) / 2


def layer_style_loss(generated, style):
    """Squared distance of two Gram matrices: how far two images differ in style at one layer.

    Each Gram matrix is divided by its own number of positions. Where both images have the same size this
    is exactly the article's 1 / (4 N² M²) · Σ (G − A)²; where the sizes differ the value stays comparable.

    Args:
        generated: features of the generated image, shape (1, height, width, channels).
        style: features of the style image, same channels; its height and width may differ.

    Returns:
        Scalar tensor: E_l of Gatys et al. (2015), eq. 4.

    Raises:
        ValueError: if the numbers of channels differ.

    Example:
        >>> float(layer_style_loss(np.full((1, 1, 2, 1), 3.0), np.full((1, 1, 2, 1), 1.0)))
        16.0
    """
    generated, style = _as_pair(generated, style, "style")
    if generated.shape[-1] != style.shape[-1]:
        raise ValueError(
            f"layer_style_loss compares features of one layer, so both need as many channels: generated has "
            f"{generated.shape[-1]}, style {style.shape[-1]}. Take both from the same layer."
        )
    return gram_distance(mean_gram_matrix(generated), mean_gram_matrix(style))


def style_loss(generated, style, layer_weights=None):
    """Weighted sum of the style losses of several layers: L_style = Σ_l w_l E_l.

    Args:
        generated: features of the generated image, {layer name: (1, height, width, channels)}.
        style: features of the style image, same layers.
        layer_weights: {layer name: w_l}; None gives every layer the same weight, and a sum of 1.

    Returns:
        Scalar tensor: L_style of Gatys et al. (2015), eq. 5.

    Raises:
        ValueError: if the layers of the three dictionaries differ.

    Example:
        >>> ones, threes = np.full((1, 1, 2, 1), 1.0), np.full((1, 1, 2, 1), 3.0)
        >>> float(style_loss({"a": threes, "b": ones}, {"a": ones, "b": ones}))
        8.0
    """
    if not generated or set(generated) != set(style):
        raise ValueError(
            f"style_loss needs the same layers of both images, at least one: generated has {sorted(generated)}, "
            f"style {sorted(style)}."
        )
    layer_losses = {layer: layer_style_loss(generated[layer], style[layer]) for layer in generated}
    return weighted_sum(layer_losses, layer_weights)


def total_loss(content, style, content_weight=1.0, style_weight=1.0):
    """What style transfer makes small: L = α · content + β · style.

    Args:
        content: content loss, a scalar.
        style: style loss, a scalar.
        content_weight: α, how much the content counts.
        style_weight: β, how much the style counts.

    Returns:
        Scalar: L_total of Gatys et al. (2015), eq. 7.

    Example:
        >>> total_loss(content=3.0, style=2.0, content_weight=1.0, style_weight=10.0)
        23.0
    """
    return content_weight * content + style_weight * style


def total_variation_loss(image):
    """How much neighbouring pixels differ: the mean over all pixels of the squared steps right and down.

    Args:
        image: shape (1, height, width, channels), at least 2×2 pixels.

    Returns:
        Scalar tensor: the total variation of Mahendran and Vedaldi (2014, arXiv 1412.0035), eq. 3 with
        exponent 2, divided by height × width, so that it does not depend on the size of the image.

    Raises:
        ValueError: if `image` has another shape or is smaller than 2×2.

    Example:
        >>> float(total_variation_loss(np.array([[[[0.0], [1.0]], [[0.0], [1.0]]]])))
        0.5
    """
    return squared_steps(image) / positions(image)


def squared_steps(image):
    """The sum in total variation: every step from a pixel to the next one, right and down, squared."""
    image = _as_features(image, "image")
    if any(side is not None and side < 2 for side in image.shape[1:3]):
        raise ValueError(f"total_variation_loss needs at least 2×2 pixels, not {image.shape[1]}×{image.shape[2]}.")
    return steps_down(image) + steps_right(image)


def steps_down(image):
    """Σ of the squared steps from a pixel to the one below it."""
    return tf.reduce_sum(tf.square(image[:, 1:] - image[:, :-1]))


def steps_right(image):
    """Σ of the squared steps from a pixel to the one at its right."""
    return tf.reduce_sum(tf.square(image[:, :, 1:] - image[:, :, :-1]))


def positions(features):
    """M = height × width of a feature map or an image; a tensor where a tf.function does not know them beforehand."""
    features = _as_features(features, "features")
    if None not in features.shape[1:3]:
        return features.shape[1] * features.shape[2]
    return tf.cast(tf.reduce_prod(tf.shape(features)[1:3]), features.dtype)


def mean_gram_matrix(features, mask=None):
    """The Gram matrix divided by M: the mean over positions, so images of different sizes compare."""
    return gram_matrix(features, mask) / (positions(features) if mask is None else positions_in(mask))


def positions_in(mask):
    """How many positions a mask reaches, Σ_k m_k, grey ones in part; never quite 0, for we divide by it."""
    return tf.maximum(tf.reduce_sum(mask), LEAST_POSITIONS)


def gram_distance(generated, style):
    """E_l from two mean Gram matrices; the optimisation computes that of the style image only once."""
    channels = generated.shape[-1]
    return tf.reduce_sum(tf.square(generated - style)) / (4 * channels**2)


def weighted_sum(layer_losses, layer_weights=None):
    """Σ_l w_l · loss_l; without weights the mean, that is equal weights that sum to 1."""
    if layer_weights is None:
        layer_weights = dict.fromkeys(layer_losses, 1 / len(layer_losses))
    if set(layer_weights) != set(layer_losses):
        raise ValueError(
            f"Every layer needs a weight, and every weight a layer: there are weights for {sorted(layer_weights)}, "
            f"and layers {sorted(layer_losses)}."
        )
    return sum(layer_weights[layer] * loss for layer, loss in layer_losses.items())


def _as_features(value, name):
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype not in (tf.float32, tf.float64):  # Gram matrices overflow float16, integers do not divide
        tensor = tf.cast(tensor, tf.float32)
    if tensor.shape.rank != 4 or tensor.shape[0] not in (1, None) or 0 in tensor.shape[1:]:
        raise ValueError(
            f"{name} must have the shape (1, height, width, channels), none of them 0; this has {tuple(tensor.shape)}. "
            "For one image of shape (height, width, channels), pass image[None]."
        )
    return tensor


def _as_pair(generated, target, name):
    generated, target = _as_features(generated, "generated"), _as_features(target, name)
    return generated, tf.cast(target, generated.dtype)
