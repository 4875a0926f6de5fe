"""Weight files, opened: which network they hold, and their parameters.

Of a large file it is kept on the disk what it was found to be, so that the next process need not
read all of it. A file counts as unchanged if its path, inode, size and times of change are, as git
decides it for its index. Nobody can set the time of the last change of an inode (ctime), and only a
file that was at rest for a while is remembered, so that a later change shows in its times. When
parameters are read after all, the whole file is compared with its checksum.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..._utils.file_state import current_file_state, file_state
from ...exceptions import WeightsError
from .. import disk_cache
from ..architecture import Architecture, Preprocessing
from ..architecture_data import from_text, to_text
from ..formats import Contents, TensorFile, map_weight_file, read_tensors
from ..graphs import Structure
from ..mean_image import MeanImage
from .own_names import difference, own_parameters, told_parameters
from .parameters import FileParameters
from .structure import convert_or_describe
from .variants import with_mean

MEAN_IMAGE = "mean_image"  # name of the array in a saved file
NETWORK = "architecture_data"  # name under which its metadata have the architecture
# Seconds of rest before a file is remembered; file systems tell times to 2 seconds or better.
AT_REST = 2.0


@dataclass(frozen=True, eq=False)
class OpenedFile:
    """A weight file that was recognised.

    Attributes
    ----------
    path : str
    format, sha256 : str
        As :class:`TensorFile` has them.
    certainty, evidence : str
    missing : mapping of str to str
    own_classes : bool
        As `recognise` found.
    architecture : Architecture
    parameters : mapping of str to ndarray
    others : tuple of (Path, state)
        Files that were read besides, and their states.
    """

    path: str
    format: str
    sha256: str
    certainty: str
    evidence: str
    missing: Mapping[str, str]
    own_classes: bool
    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    others: tuple[tuple[Path, tuple[int, ...]], ...] = ()


def open_weight_file(
    path: Path,
    status: os.stat_result,
    *,
    checksum: str | None,
    architecture: str | Architecture | None,
    preprocessing: Preprocessing | None = None,
) -> OpenedFile:
    """Recognise a weight file, or remember what it is.

    Parameters
    ----------
    path : Path
        Absolute.
    status : os.stat_result
        Of the file, a moment ago.
    checksum : str or None
        What the file must have; compared when the file is read, and with what was read.
    architecture : str, Architecture or None
        Which network it is, where names and shapes fit more than one; or a network of the
        caller's own, whose parameters the file holds by the package's names or by torch's.
    preprocessing : Preprocessing or None
        What a network wants to see that nobody knows.

    Raises
    ------
    WeightsError
        If it cannot be read or fits no network.
    """
    told = architecture, preprocessing
    if status.st_size < disk_cache.MIN_FILE or disk_cache.cache_folder() is None:
        file, known, parameters = _read(path, None, *told, checksum=checksum)
        facts = _facts(file, known, parameters, checksum)
        return _opened(path, facts, known.architecture, MappingProxyType(parameters), file)

    wanted = to_text(architecture) if isinstance(architecture, Architecture) else architecture
    key = {"file": str(path), "architecture": wanted, "preprocessing": repr(preprocessing)}
    mapped = map_weight_file(path)  # what is read later is this file, whatever its name is then
    state = list(file_state(status))
    found = disk_cache.get(key)
    if found is not None and found[0]["state"] == state and _is_checked(found[0], checksum):
        facts, arrays = found
        read = partial(_read_again, path, mapped, told, facts["sha256"])
        parameters = FileParameters(facts["names"], read, identity=facts["identity"])
        mean_image = MeanImage(arrays[0]) if arrays else None
        return _opened(path, facts, from_text(facts["network"], mean_image), parameters)

    begun = time.time()
    file, known, parameters = _read(path, mapped, *told, checksum=checksum)
    facts = _facts(file, known, parameters, checksum)
    if file.contents.others:  # which may change while this file does not
        return _opened(path, facts, known.architecture, MappingProxyType(parameters), file)
    at_rest = begun - max(status.st_mtime, status.st_ctime) > AT_REST
    if at_rest and current_file_state(path) == file_state(status):
        mean_image = known.architecture.preprocessing.mean_image
        arrays = [] if mean_image is None else [mean_image.pixels]
        disk_cache.put(key, {**facts, "state": state}, arrays)
    read = partial(_read_again, path, mapped, told, file.sha256)
    lazy = FileParameters(facts["names"], read, parameters, facts["identity"])
    return _opened(path, facts, known.architecture, lazy)


def _is_checked(facts: dict, checksum: str | None) -> bool:
    """Whether the file that was read had this checksum."""
    if checksum is None or checksum == facts["checksum"]:
        return True
    algorithm, _, digest = checksum.partition(":")
    return algorithm == "sha256" and facts["sha256"].startswith(digest)


def _facts(file: TensorFile, found: Found, parameters, checksum: str | None) -> dict:
    network = to_text(found.architecture)
    content = [file.sha256, network, found.names]
    return {
        "format": file.format,
        "sha256": file.sha256,
        "checksum": checksum,
        "network": network,
        "certainty": found.certainty,
        "evidence": found.evidence,
        "missing": dict(found.missing),
        "own_classes": found.own_classes,
        "names": list(parameters),
        "identity": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
    }


def _opened(path, facts, net, parameters, file: TensorFile | None = None) -> OpenedFile:
    others = () if file is None else tuple((o.path, o.state) for o in file.contents.others)
    return OpenedFile(
        str(path),
        facts["format"],
        facts["sha256"],
        facts["certainty"],
        facts["evidence"],
        facts["missing"],
        facts["own_classes"],
        net,
        parameters,
        others,
    )


@dataclass(frozen=True)
class Found:
    """The network of a file, and how it was found; the attributes as `Match` has them."""

    architecture: Architecture
    names: str  # how parameters are called in the file
    certainty: str
    evidence: str
    missing: Mapping[str, str]
    own_classes: bool


def _read(path, mapped, architecture, preprocessing, *, checksum):
    """Read all of a file: its arrays, the network they fit, and them as its parameters."""
    file = read_tensors(path, checksum=checksum, mapped=mapped)
    contents, mean = file.contents, None
    keep_views = file.format == "safetensors"
    if contents.metadata.get("architecture"):  # a file of ours
        tensors = dict(contents.tensors)
        mean = tensors.pop(MEAN_IMAGE, None)
        contents = replace(contents, groups={"": tensors})
    try:
        if NETWORK in contents.metadata:
            found, parameters = _described(contents, architecture, keep_views, mean)
        elif isinstance(architecture, Architecture):
            found, parameters = _told(contents, with_mean(architecture, mean), keep_views)
        else:
            match, parameters = convert_or_describe(
                contents,
                architecture,
                name=Path(path).stem,
                preprocessing=preprocessing,
                keep_views=keep_views,
            )
            found = Found(
                with_mean(match.architecture, mean),
                "own layers" if isinstance(match, Structure) else match.candidate.layout.name,
                match.certainty,
                match.evidence,
                dict(match.missing),
                match.own_classes,
            )
    except ValueError as error:
        raise WeightsError(f"{file.path}: {error}") from error
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        # the file stays mapped, but what was read of it need not count as memory of this process
        mapped[0].obj.madvise(mmap.MADV_DONTNEED)
    return file, found, parameters


def _described(
    contents: Contents,
    wanted: str | Architecture | None,
    keep_views: bool,
    mean: np.ndarray | None = None,
):
    """The network that a file of the package's own describes, and its parameters."""
    net = with_mean(from_text(contents.metadata[NETWORK]), mean)
    if isinstance(wanted, Architecture) and wanted != net:
        raise WeightsError(
            f"the file holds another network than architecture={wanted}: {difference(net, wanted)}"
        )
    if isinstance(wanted, str) and wanted != net.name:
        raise WeightsError(
            f"architecture={wanted!r}, but the file says that its network is {net.name!r}"
        )
    parameters = own_parameters(contents.tensors, net, keep_views=keep_views)
    evidence = f"the file describes its network, {net.name}, itself"
    own_classes = contents.metadata.get("classes") == "own"
    return Found(net, "own", "certain", evidence, {}, own_classes), parameters


def _told(contents: Contents, net: Architecture, keep_views: bool):
    """The parameters of a network that the caller describes."""
    stated = contents.metadata.get("architecture")
    if stated not in (None, net.name):
        raise WeightsError(
            f"architecture={net.name!r}, but the file says that its network is {stated!r}"
        )
    groups = list(contents.groups.values())
    arrays = groups[0] if len(groups) == 1 else contents.tensors
    names, parameters = told_parameters(arrays, net, keep_views=keep_views)
    evidence = f"all {len(arrays)} arrays have names and shapes of {net.name}, as described"
    return Found(net, names, "told", evidence, {}, False), parameters


def _read_again(path, mapped, told, sha256) -> dict[str, np.ndarray]:
    return _read(path, mapped, *told, checksum=f"sha256:{sha256}")[2]
