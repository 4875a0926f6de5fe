"""Pickles of transformers, which compute the same rows in other processes.

Weights of a name or path stay where they are. A pickle has the parameters, with paths as text that
any system reads; the checksum of the weights, whether the transformer is fitted or not; the kernels
in use; for relative paths the folder that they start from; and networks that were registered, by
the names under which the parameters speak of them. A transformer that came out of a pickle may be
in a worker of any kind, of joblib, Dask, Ray, Spark or Daft: it downloads nothing, and says so
where other kernels are in use than where it came from.
"""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
import warnings
from pathlib import PurePath
from typing import Any

from sklearn.base import BaseEstimator, clone

from .. import _kernels
from .._utils.locks import Lock
from .._utils.path_pickling import paths_as_text, paths_from_text
from ..exceptions import KernelError, KernelWarning, WeightsError
from ..networks.architecture import Architecture
from ..networks.architectures import ARCHITECTURES, get_architecture
from ..networks.weights.loading import load_weights, registered_weights
from ..networks.weights.registration import refuse_another
from ..networks.weights.registry import REGISTRY
from ..networks.weights.weights import Weights

_warned: set[tuple[str, str]] = set()  # pairs of kernels, once a process
_warned_lock = Lock()


class PickledByReference(BaseEstimator):
    """Base of estimators with the parameters `weights`, `architecture` and `cache`.

    `weights_sha256_` is what they learn in ``fit``. Two further attributes are there where they
    say something:

    - `_origin`, after unpickling, what the pickle says about the process it comes from: `weights`
      (parameters that name them), `sha256`, `kernels`, `asked`, whether that process was told
      to use these kernels, and `registered`, the networks and weights that were registered there;
    - `_folders`, from relative paths in the parameters to the folders that they start from.
    """

    weights: Weights | str | os.PathLike
    architecture: Architecture | str | None
    cache: Any
    weights_sha256_: str
    _origin: dict[str, Any]
    _folders: dict[str, str]

    # Weights -------------------------------------------------------------------------------

    def _weights(self, *, may_download: bool = False) -> Weights:
        """The weights, if they are those that this transformer knows by their checksum."""
        named, architecture = self._registered()
        weights = load_weights(
            named,
            architecture=architecture,
            download_if_missing=may_download and not self._is_in_a_worker(),
        )
        fitted = hasattr(self, "weights_sha256_")
        known = self.weights_sha256_ if fitted else self._carried_sha256()
        found = self._checksum(weights)
        if known not in (None, found):
            raise WeightsError(
                f"weights={self.weights!r} have changed since this transformer was "
                f"{'fitted' if fitted else 'pickled'}: the file's sha256 is {found}, it "
                f"was {known}. Restore the file, or {'fit again' if fitted else 'make it anew'}."
            )
        return weights

    def _checksum(self, weights: Weights) -> str:
        """What these weights, as `_weights` gives them, are known by."""
        in_memory = isinstance(self._registered()[0], Weights)
        return weights.digest if in_memory else weights.sha256

    def _registered(self) -> tuple[Any, Any]:
        """The weights and the architecture to load: what this process registered, or another did.

        Raises
        ------
        WeightsError
            If another network goes by the same name in the two.
        """
        carried = vars(self).get("_origin", {}).get("registered", {})
        weights, architecture = self._located(self.weights), self.architecture
        text = _text(weights)
        if text in registered_weights:
            weights = registered_weights[text]
        elif text is not None and text == carried.get("weights_name"):
            weights = carried["weights"]
        else:
            text = None
        name = text if architecture is None else architecture  # of weights comes the network too
        if isinstance(name, str):
            if name == carried.get("architecture_name"):
                architecture = carried["architecture"]
                refuse_another(architecture)
            elif name == text:
                architecture = get_architecture(name)
        return weights, architecture

    def _describe_registered(self) -> dict[str, Any]:
        """What a pickle says of networks that are known by their names in this process alone."""
        found = dict(vars(self).get("_origin", {}).get("registered", {}))
        text = _text(self.weights)
        if text in registered_weights:
            found |= {"weights_name": text, "weights": registered_weights[text]}
        name = self.architecture if self.architecture is not None else text
        if isinstance(name, str) and name not in ARCHITECTURES:
            with contextlib.suppress(ValueError):
                found |= {"architecture_name": name, "architecture": get_architecture(name)}
        if isinstance(found.get("weights"), PurePath):
            found["weights"] = str(found["weights"])
        return found

    def _is_in_a_worker(self) -> bool:
        """Whether somebody else started this, as far as one can see."""
        return "_origin" in vars(self) or multiprocessing.parent_process() is not None

    def _carried_sha256(self) -> str | None:
        origin = vars(self).get("_origin", {})
        same = origin.get("weights") == self._named()
        return origin.get("sha256") if same else None

    def _named(self) -> list[Any]:
        """The parameters that say which weights are meant."""
        weights = self.weights
        known_by = weights.digest if isinstance(weights, Weights) else _text(weights)
        return [known_by, self.architecture]

    def _forget_fit(self) -> None:
        """Be as if never fitted, here or elsewhere; what is fitted anew belongs here."""
        if hasattr(self, "weights_sha256_"):
            del self.weights_sha256_
            if hasattr(self, "_folders"):
                del self._folders
            if "_origin" in vars(self):
                self._origin = _registered_only(self._origin)

    # Relative paths ------------------------------------------------------------------------

    def _remember_folders(self) -> None:
        """Note where relative paths start, which other processes need not know."""
        folders = self._known_folders()
        if folders:
            self._folders = folders

    def _known_folders(self) -> dict[str, str]:
        named = [_text(self.weights), _text(self.cache)]
        carried = vars(self).get("_origin", {}).get("registered", {})
        names = {*REGISTRY, *registered_weights, carried.get("weights_name")}
        relative = [
            text
            for text in named
            if text and text not in names and not os.path.isabs(text) and text[0] != "~"
        ]
        known = vars(self).get("_folders", {})
        try:
            return {text: known.get(text) or os.getcwd() for text in relative}
        except FileNotFoundError:  # the working directory was removed
            return known

    def _located(self, path):
        """A path in the folder that it starts from, if that is on this machine."""
        text = _text(path)
        folder = vars(self).get("_folders", {}).get(text)
        if folder is None:
            return path
        located = os.path.join(folder, text)
        needed = folder if path is self.cache else located  # a cache is made where it is not
        return located if os.path.exists(needed) else path

    # Kernels -------------------------------------------------------------------------------

    def _check_kernels(self) -> None:
        """Raise or warn where rows come out otherwise than where this transformer comes from.

        Raises
        ------
        KernelError
            If that process was told by ``SKLEARN_DECAF_KERNELS`` which kernels to use.
        """
        origin = vars(self).get("_origin", {})
        here, there = _kernels.in_use(), origin.get("kernels", _kernels.in_use())
        if _kernels.same_bits(here, there):
            return
        done = "fitted" if hasattr(self, "weights_sha256_") else "pickled"
        message = (
            f"this transformer was {done} where the kernels {there} are in use, and here {here} "
            "are, so its rows differ in the last digits. To get the same bits on all machines, set "
            f"{_kernels.OVERRIDE_VARIABLE} on each to a set that all of them have, such as 'base'."
        )
        if origin.get("asked"):
            raise KernelError(f"{message} It was set there.")
        with _warned_lock:
            known = (there, here) in _warned
            _warned.add((there, here))
        if not known:
            warnings.warn(message, KernelWarning, stacklevel=7)

    # Copies --------------------------------------------------------------------------------

    def _variant(self, **parameters):
        """This transformer with other parameters, fitted if it is."""
        variant = clone(self).set_params(**parameters)
        for name in ("weights_sha256_", "_origin", "_folders"):
            if name in vars(self):
                setattr(variant, name, vars(self)[name])
        return variant

    def __sklearn_clone__(self):
        cloned, fitted = super().__sklearn_clone__(), hasattr(self, "weights_sha256_")
        if "_origin" in vars(self):
            cloned._origin = _registered_only(self._origin) if fitted else dict(self._origin)
        if "_folders" in vars(self) and not fitted:
            cloned._folders = dict(self._folders)
        return cloned

    def __copy__(self):
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo):
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state["_origin"] = self._describe_origin()
        folders = self._known_folders()
        if folders:
            state["_folders"] = folders
        return paths_as_text(state)

    def _describe_origin(self) -> dict[str, Any]:
        origin = {
            "kernels": _kernels.in_use(),
            "asked": bool(os.environ.get(_kernels.OVERRIDE_VARIABLE)),
            **vars(self).get("_origin", {}),
        }
        sha256 = getattr(self, "weights_sha256_", None)
        if sha256 is None:
            try:
                sha256 = self._checksum(self._weights())
            except (WeightsError, OSError, TypeError, ValueError):  # fit says so
                sha256 = self._carried_sha256()
        registered = self._describe_registered()
        if registered:
            origin["registered"] = registered
        return {**origin, "weights": self._named(), "sha256": sha256}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {"_origin": {}, **state}  # pickles of earlier versions have none
        super().__setstate__(paths_from_text(state))


def _registered_only(origin: dict[str, Any]) -> dict[str, Any]:
    """Of what a pickle said, the networks that nobody registered here."""
    return {key: origin[key] for key in ("registered",) if key in origin}


def _text(path: object) -> str | None:
    """A path as text; None for anything else."""
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None
