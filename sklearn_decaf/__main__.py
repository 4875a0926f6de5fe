"""The command line: ``python -m sklearn_decaf extract FOLDER --out features.parquet``."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:
    from ._extraction.file_list import FileList
    from .images._folders import LeftOut

DONE, FAILED, SOME_UNREADABLE, INTERRUPTED = 0, 1, 3, 130  # and 2 for usage, which argparse gives

_STATUSES = """\
exit status: 0 done; 1 refused or failed, or not one image could be read; 2 wrong usage; 3 done,
but some images could not be read, or folders not be listed; 130 stopped by Ctrl-C."""


def main(arguments=None) -> int:
    """Run a command; return the status to exit with.

    Parameters
    ----------
    arguments : list of str, default=None
        None takes those of the process.

    Returns
    -------
    status : int
        0 done; 1 refused or failed, or not one image could be read; 3 done, but some images could
        not be read or folders not be listed; 130 stopped by Ctrl-C. Wrong usage exits with 2.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.null and not options.files_from:
        parser.error("--null says how the names in --files-from FILE end, which is not given")
    try:
        return _extract(options)
    except KeyboardInterrupt:
        _say("\nstopped; finished blocks are kept, the same command goes on", error=True)
        return INTERRUPTED
    except (OSError, ValueError, TypeError, ImportError) as error:
        _say(f"{parser.prog}: {error}", error=True)
        return FAILED


def _extract(options) -> int:
    from ._extraction.to_files import extract
    from .transformers import DeCAFTransformer

    files, left_out = _listed(options) if options.files_from else _found(options.folder)
    pooling = None if options.pooling == "none" else options.pooling
    transformer = DeCAFTransformer(
        tuple(map(_layer, options.layer or ["6"])),
        dropout=False,
        weights=options.weights,
        architecture=options.architecture,
        pooling=pooling,
        resize=None if options.resize == "none" else options.resize,
        resize_to=options.resize_to,
        crop=options.crop,
        ten_crop=options.ten_crop,
        exact=options.exact,
        draft=options.draft,
        max_pixels=options.max_pixels,
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
        retry_failed=options.retry_failed,
        allow_missing=options.allow_missing,
        verbose=not options.quiet,
    )
    _say(f"{result.n_images} images, {result.n_features} features each, in {result.folder}")
    if result.n_failed:
        listed = os.path.join(result.folder, "_failed.csv")
        _say(f"{result.n_failed} images could not be read, listed in {listed}")
    if result.n_not_opened:
        _say(
            f"{result.n_not_opened} of them could not even be opened: the same command tries "
            "these again"
        )
    if result.n_failed == result.n_images:
        _say("not one image could be read", error=True)
        return FAILED
    return SOME_UNREADABLE if result.n_failed or left_out.unlisted else DONE


def _found(folder: str) -> tuple[FileList, LeftOut]:
    """The images below a folder, and what is there beside them, which is said."""
    from ._extraction.file_list import FileList
    from .images._folders import LeftOut, describe_unlisted, find_images

    left_out = LeftOut()
    files = FileList(find_images(folder, left_out), folder)
    if len(left_out):
        advice = left_out.advice and f". {left_out.advice}"
        _say(f"left out: {left_out}{advice}")
    for entry in left_out.unlisted[:20]:
        _say(f"warning: {describe_unlisted(entry, folder)}", error=True)
    if not len(files):
        raise ValueError(
            f"no images are in {folder!r}" + (f", but {left_out}" if len(left_out) else "")
        )
    return files, left_out


def _listed(options) -> tuple[FileList, LeftOut]:
    """The images that a file lists."""
    from ._extraction.file_list import FileList
    from ._extraction.path_lists import explain_missing, read_paths
    from .images._folders import LeftOut, check_folder

    check_folder(options.folder)
    name = options.files_from
    with nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as stream:
        try:
            files = FileList(read_paths(stream, null=options.null), options.folder)
        except ValueError as error:
            raise ValueError(f"the list {name!r}, {error}") from error
    if not len(files):
        raise ValueError(f"no images are in the list {name!r}: it is empty")
    hint = explain_missing([files.name(row) for row in range(min(20, len(files)))], files.root)
    if hint:
        raise ValueError(f"the list {name!r}: {hint}")
    return files, LeftOut()


def _say(text: str, *, error: bool = False) -> None:
    """Print, whatever characters the terminal knows and whatever bytes are in names."""
    stream = sys.stderr if error else sys.stdout
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _layer(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _crop(text: str) -> int | tuple[int, ...]:
    sides = tuple(map(int, text.lower().split("x")))
    return sides[0] if len(sides) == 1 else sides


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows default values, where these say something."""

    def _get_help_string(self, action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


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
        "Images that cannot be read are listed in OUT/_failed.csv; those that could not even be "
        "opened are tried again by the same command.",
        epilog="example: python -m sklearn_decaf extract photos --out features.parquet --layer 7. "
        + _STATUSES,
        formatter_class=_Formatter,
    )
    add = command.add_argument
    add(
        "folder",
        metavar="DIR",
        help="folder of images, searched at any depth; links are followed, hidden files and "
        "folders and those of systems (@eaDir, #recycle, lost+found) left out",
    )
    add("--out", required=True, help="folder to write; its name may end in .parquet")
    add(
        "--layer",
        nargs="+",
        metavar="LAYER",
        help="5, 6, 7, 8 or a layer's name; several stand side by side (6 if none is named)",
    )
    add("--weights", default="efficientnet_lite0", help="name of weights, or a weight file")
    add("--architecture", default=None, help="network of a weight file that fits several")
    add(
        "--pooling",
        default="auto",
        choices=("auto", "avg", "max", "avg+max", "none"),
        help="what a row holds of each map of a convolutional layer; none: all its values",
    )
    add(
        "--resize",
        default="warp",
        choices=("warp", "crop", "none"),
        help="warp: to a square, whatever the shape; crop: keep the shape, cut out the middle",
    )
    add(
        "--resize-to",
        type=int,
        metavar="N",
        help="pixels of the sides after resizing, instead of the network's own",
    )
    add(
        "--crop",
        type=_crop,
        metavar="N or HxW",
        help="pixels of what the network sees, instead of its own",
    )
    add("--ten-crop", action="store_true", help="average over ten crops, ten times slower")
    add("--exact", action="store_true", help="round less, by slower convolutions")
    add("--draft", action="store_true", help="reduce large JPEG files in the decoder: faster")
    add("--max-pixels", type=int, metavar="N", help="pixels of the largest file that is read")
    add(
        "--files-from",
        metavar="FILE",
        help="names of the images, one a line, relative to DIR; - reads them from standard input",
    )
    add(
        "-0",
        "--null",
        action="store_true",
        help="names in FILE end in a zero byte each, as those of `find -print0`",
    )
    add("--format", choices=("parquet", "npy"), help="by default Parquet if OUT ends in .parquet")
    add("--block-size", type=int, default=4096, help="images a file")
    add("--batch-size", type=int, default=32, help="images that a thread decodes at a time")
    add("--n-jobs", type=int, default=None, help="threads; by default all cores")
    add("--cache", metavar="DIR", help="folder of an activation cache to use")
    add(
        "--retry-failed",
        action="store_true",
        help="try again all images that failed before, those that were damaged too",
    )
    add(
        "--allow-missing",
        action="store_true",
        help="go on where not one file of a block can be opened",
    )
    add("--quiet", action="store_true", help="show no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
