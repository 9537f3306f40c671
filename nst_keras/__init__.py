"""Neural style transfer with VGG16 and tf.GradientTape, in the words of Gatys, Ecker and Bethge (2015)."""

import importlib

# Every public name and its room. `__init__.pyi` says the same to editors.
_HOMES = {
    "styles": ("Style",),
    "recipe": ("CONTENT_LAYERS", "STYLE_LAYERS", "Recipe"),
    "images": ("load_image", "noise_image", "save_image", "to_pil"),
    "colours": ("keep_colours", "match_colours"),
    "features": ("FeatureExtractor", "load_vgg16"),
    "losses": (
        "content_loss",
        "gram_matrix",
        "layer_style_loss",
        "style_loss",
        "total_loss",
        "total_variation_loss",
    ),
    "objective": ("make_objective",),
    "training": ("StopTransfer", "transfer_style"),
    "descent": (),
    "exercises": (),
    "pictures": (),
    "plotting": (),
}
__all__ = sorted(_HOMES) + sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name):
    """Import a module when one of its names is first asked for: `nst-keras --help` must not wait for TensorFlow."""
    for home, names in _HOMES.items():
        if name == home or name in names:
            importlib.import_module("nst_keras._tensorflow")  # first, and so quietly, even where a module needs none
            module = importlib.import_module(f"nst_keras.{home}")
            return module if name == home else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
