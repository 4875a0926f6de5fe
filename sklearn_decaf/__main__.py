"""The command line: ``python -m sklearn_decaf extract FOLDER --out features.parquet``."""

from __future__ import annotations

import argparse
import os
import sys

from . import __version__


def main(arguments=None) -> int:
    """Run a command; return the status to exit with.

    Parameters
    ----------
    arguments : list of str, default=None
        None takes those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        return _extract(options)
    except KeyboardInterrupt:
        print("\nstopped; finished blocks are kept, the same command goes on", file=sys.stderr)
        return 130
    except (OSError, ValueError, TypeError, ImportError) as error:
        print(f"{_parser().prog}: {error}", file=sys.stderr)
        return 1


def _extract(options) -> int:
    from ._extraction.file_list import FileList
    from ._extraction.to_files import extract
    from .images._folders import find_images
    from .transformers import DeCAFTransformer

    if options.files_from:
        with open(options.files_from, encoding="utf-8", errors="surrogateescape") as stream:
            files = FileList((line.rstrip("\n") for line in stream if line.strip()), options.folder)
    else:
        files = FileList(find_images(options.folder), options.folder)
    if not len(files):
        raise ValueError(f"no images are in {options.folder!r}")
    pooling = None if options.pooling == "none" else options.pooling
    transformer = DeCAFTransformer(
        tuple(map(_layer, options.layer)),
        dropout=False,
        weights=options.weights,
        architecture=options.architecture,
        pooling=pooling,
        resize=None if options.resize == "none" else options.resize,
        ten_crop=options.ten_crop,
        exact=options.exact,
        draft=options.draft,
        cache=options.cache,
        batch_size=options.batch_size,
        n_jobs=options.n_jobs,
    )
    result = extract(
        files,
        options.out,
        transformer=transformer,
        format=options.format,
        block_size=options.block_size,
        verbose=not options.quiet,
    )
    print(f"{result.n_images} images, {result.n_features} features each, in {result.folder}")
    if result.n_failed:
        listed = os.path.join(result.folder, "_failed.csv")
        print(f"{result.n_failed} images could not be read, listed in {listed}")
    return 0


def _layer(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_decaf",
        description="Features of deep convolutional networks.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "extract",
        help="compute features of all images in a folder and write them to files",
        description="Compute features of all images in a folder, however many, and write them to "
        "files. If it is interrupted, the same command goes on after the last finished block. "
        "Images that cannot be read are listed in OUT/_failed.csv.",
        epilog="Example: python -m sklearn_decaf extract photos --out features.parquet --layer 7",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = command.add_argument
    add("folder", metavar="DIR", help="folder of images, searched at any depth")
    add("--out", required=True, help="folder to write; its name may end in .parquet")
    add(
        "--layer",
        nargs="+",
        default=["6"],
        metavar="LAYER",
        help="5, 6, 7, 8 or a layer's name; several stand side by side",
    )
    add("--weights", default="efficientnet_lite0", help="name of weights, or a weight file")
    add("--architecture", default=None, help="network of a weight file that fits several")
    add("--pooling", default="auto", choices=("auto", "avg", "max", "avg+max", "none"), help="-")
    add("--resize", default="warp", choices=("warp", "crop", "none"), help="-")
    add("--ten-crop", action="store_true", help="average over ten crops, ten times slower")
    add("--exact", action="store_true", help="round less, by slower convolutions")
    add("--draft", action="store_true", help="reduce large JPEG files in the decoder: faster")
    add("--files-from", metavar="FILE", help="names of the images, one a line, relative to DIR")
    add("--format", choices=("parquet", "npy"), help="by default Parquet if OUT ends in .parquet")
    add("--block-size", type=int, default=4096, help="images a file")
    add("--batch-size", type=int, default=32, help="images that a thread decodes at a time")
    add("--n-jobs", type=int, default=None, help="threads; by default all cores")
    add("--cache", metavar="DIR", help="folder of an activation cache to use")
    add("--quiet", action="store_true", help="show no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
