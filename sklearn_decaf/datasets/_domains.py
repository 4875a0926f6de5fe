"""The choice of domains that fetchers of several domains offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose_domains(
    domains: str | Sequence[str] | None,
    target: str | Sequence[str] | None,
    known: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Return the chosen domains in their order, with their labels.

    The label of a domain is its place in `known`, from 1 on, and negative for a target domain.

    Parameters
    ----------
    domains : str, sequence of str or None
        None: all of them.
    target : str, sequence of str or None
        Which of the chosen ones are target domains. None: the last, if there are two or more.
    known : sequence of str
        All domains; upper and lower case are alike.
    aliases : mapping of str to str
        Other names of domains.

    Raises
    ------
    ValueError
        If a name is not known, no domain is chosen, one is chosen twice, or a target domain is
        not among the chosen ones.
    """
    chosen = list(known) if domains is None else domain_names("domains", domains, known, aliases)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"domains={domains!r}: it must name one or more domains, each once.")
    if target is None:
        targets = chosen[-1:] if len(chosen) > 1 else []
    else:
        targets = domain_names("target", target, known, aliases)
    for name in targets:
        if name not in chosen:
            raise ValueError(
                f"target={target!r}: {name!r} is not among the chosen domains, {chosen}."
            )
    return {name: (known.index(name) + 1) * (-1 if name in targets else 1) for name in chosen}


def domain_names(
    parameter: str,
    names: str | Sequence[str],
    known: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the names of domains as they are in `known`."""
    spellings = {**{name: name for name in known}, **(aliases or {})}
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if not isinstance(name, str) or name.lower() not in spellings:
            raise ValueError(
                f"{parameter}={names!r}: {name!r} is no domain; there are {', '.join(known)}."
            )
    return [spellings[name.lower()] for name in chosen]
