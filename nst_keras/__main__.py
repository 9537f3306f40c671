"""The command line: nst-keras CONTENT STYLE -o OUT."""

import argparse
import sys
from pathlib import Path

from nst_keras.images import BUNDLED, check_output_path, open_picture, save_image, to_pil

GIF_FRAMES = 60


def build_parser():
    parser = argparse.ArgumentParser(
        prog="nst-keras",
        description="Paint the content of one picture in the style of another.",
        epilog="Bundled pictures: " + ", ".join(BUNDLED) + ".",
        allow_abbrev=False,
    )
    parser.add_argument("content", metavar="CONTENT", help="the photograph: a file, or the name of a bundled picture")
    parser.add_argument("style", metavar="STYLE", help="the painting: a file, or the name of a bundled picture")
    parser.add_argument("-o", "--output", metavar="OUT", default="stylised.png", help="where to save (%(default)s)")
    parser.add_argument("--gif", metavar="FILM", help="also save an animation of the run here")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")

    picture = parser.add_argument_group("the picture")
    # Defaults are those of transfer_style: an option that is not given is not passed on.
    option = picture.add_argument
    option("--size", type=int, help="longer side in pixels (400)")
    option("--content-weight", type=float, metavar="α", help="how much the content counts (1.0)")
    option("--style-weight", type=float, metavar="β", help="how much the style counts (0.2)")
    option("--total-variation-weight", type=float, metavar="W", help="how much smoothness counts (0)")
    option("--content-layers", type=layers, metavar="L[,L…]", help="layers of VGG16 (block4_conv2)")
    option(
        "--style-layers",
        type=layers,
        metavar="L[=W],…",
        help="layers of VGG16, each with or each without a weight (block1_conv1 to block5_conv1)",
    )
    option("--pooling", choices=["max", "average"], default="max", help="how VGG16 shrinks its features (%(default)s)")
    option("--weights", default="bundled", help='of VGG16: "bundled", "imagenet" to download, or a file (%(default)s)')

    run = parser.add_argument_group("the run")
    option = run.add_argument
    option("--init", help='what to start from: "noise", "content", or a picture (noise)')
    option("--optimizer", choices=["lbfgs", "adam"], help="(lbfgs)")
    option("--steps", type=int, help="over all stages together (400)")
    option(
        "--coarse-to-fine",
        action=argparse.BooleanOptionalAction,
        help="start small and enlarge, or run at full size only (coarse to fine)",
    )
    option("--seed", type=int, help="of the noise (0)")
    return parser


def layers(text):
    """ "a,b" -> ["a", "b"]; "a=1,b=2" -> {"a": 1.0, "b": 2.0}."""
    parts = [part.strip() for part in text.split(",")]
    if not any("=" in part for part in parts):
        return parts
    try:
        return {name.strip(): float(weight) for name, weight in (part.split("=") for part in parts)}
    except ValueError:
        example = "block1_conv1=1,block2_conv1=0.5"
        raise argparse.ArgumentTypeError(f"give every layer a weight, as in {example}, not {text!r}") from None


def main(arguments=None):
    """Run the command line; return the exit status: 0, 2 for bad input, 1 for a diverged, 130 for a stopped run."""
    options = vars(build_parser().parse_args(arguments))
    output, gif, overwrite = Path(options.pop("output")), options.pop("gif"), options.pop("overwrite")
    try:
        for path in filter(None, (output, gif)):
            check_output_path(path, animation=path is gif)
            if Path(path).exists() and not overwrite:
                raise FileExistsError(f"{path} exists; choose another name, or add --overwrite.")
        pictures = [open_picture(options.pop("content")), open_picture(options.pop("style"))]
        if options["init"] not in (None, "noise", "content"):
            options["init"] = open_picture(options["init"])
        return stylise(*pictures, output, gif, **options)
    except KeyboardInterrupt:
        print("\nStopped before the first step; nothing was saved.", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError) as error:
        print(f"nst-keras: {error}", file=sys.stderr)
        return 2


def stylise(content, style, output, gif, *, weights, pooling, **options):
    """Transfer the style, save what came out, and return the exit status."""
    from nst_keras import load_vgg16, plotting, transfer_style

    options = {name: value for name, value in options.items() if value is not None}
    frames = []

    def film(step, losses, image):
        frames.append(to_pil(image))
        if len(frames) == 2 * GIF_FRAMES:  # keep every second picture: a long run must not fill the memory
            del frames[::2]

    image, history = transfer_style(
        content, style, vgg16=load_vgg16(weights, pooling), callbacks=[film] if gif else [], **options
    )
    save_image(output, image)
    print(f"Saved {output}")
    if gif and frames:
        plotting.save_animation(gif, frames)
        print(f"Saved {gif}")
    if history.params["stopped"]:
        print(f"The run {history.params['stopped']} after {history.params['steps']} steps.", file=sys.stderr)
    return {None: 0, "interrupted": 130, "diverged": 1}[history.params["stopped"]]


if __name__ == "__main__":
    sys.exit(main())
