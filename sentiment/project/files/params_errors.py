"""Say what is wrong in params.yaml: which key or value, and what is allowed there."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sentiment.params import ARCHITECTURES, ModelParams, Params


def unset_params(section: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the fields that have no value of their own."""
    for name, value in section:
        if name not in section.model_fields_set:
            yield f"{prefix}{name}"
        elif isinstance(value, BaseModel):
            yield from unset_params(value, f"{prefix}{name}.")


def describe_model(params: Params) -> str:
    """Say that `model` names no section, and which ones it can name."""
    similar = get_close_matches(params.model, params.models, n=1)
    hint = f" Did you mean {similar[0]}?" if similar else ""
    return (
        f"model: there is no section {params.model}. Name one of {', '.join(params.models)}.{hint}"
    )


def describe_errors(details: Sequence[ErrorDetails], document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each error. A section of another architecture has dozens, but one line."""
    of_others = [name for name, section in document.items() if _is_of_another(section)]
    for name in of_others:
        architecture = document[name]["architecture"]
        params = ", ".join(_own_params(ARCHITECTURES[architecture]))
        yield (
            f"{name}.architecture: {architecture} has the params {params}, but this section has "
            "those of another architecture. Name a section of this architecture in `model`, or "
            "copy one"
        )
    for detail in details:
        if detail["loc"][0] not in of_others:
            yield _describe(detail)


def _is_of_another(section: Any) -> bool:
    """Return whether a section has more params of another architecture than of its own."""
    if not isinstance(section, dict) or section.get("architecture") not in [*ARCHITECTURES]:
        return False
    shared = {
        architecture: len(section.keys() & _own_params(kind))
        for architecture, kind in ARCHITECTURES.items()
    }
    return max(shared.values()) > shared[section["architecture"]]


def _own_params(kind: type[ModelParams]) -> list[str]:
    """Return the params that only this architecture has."""
    return [name for name in kind.model_fields if name not in ModelParams.model_fields]


def _describe(detail: ErrorDetails) -> str:
    section, *inside = map(str, detail["loc"])
    kind: type[BaseModel] = Params
    if section not in Params.model_fields and inside:
        kind = ARCHITECTURES[inside.pop(0)]  # pydantic adds the architecture to the location
        if inside[:1] == ["network"]:
            inside = inside[:2]  # it also adds each type that a value may have
    name = ".".join([section, *inside])
    if detail["type"] == "missing":
        return f"{name}: missing"
    if not inside and section not in Params.model_fields:
        return _describe_no_model(section, detail["input"])
    if kind is Params:
        inside.insert(0, section)
        section = ""
    *sections, key = inside
    if detail["type"] == "extra_forbidden":
        similar = get_close_matches(key, _params_of(kind, sections), n=1)
        full = ".".join(filter(None, [section, *sections, *similar]))
        hint = f". Did you mean {full}?" if similar else ""
        return f"{name}: there is no such param{hint}"
    if detail["type"] == "model_type":
        params = ", ".join(_params_of(kind, inside))
        return f"{name}: {detail['input']!r} is not allowed. It is a section with {params}"
    if detail["type"] == "url":  # the URL may have a password
        return f"{name}: {detail['msg']}"
    if sections == ["network"]:
        return (
            f"{name}: {detail['input']!r} is not allowed. Use a number, a text, or a list of them"
        )
    return f"{name}: {detail['input']!r} is not allowed. {detail['msg']}"


def _describe_no_model(name: str, section: Any) -> str:
    """Say why a section belongs to no model: it has no known architecture."""
    architectures = ", ".join(ARCHITECTURES)
    if not isinstance(section, dict):
        similar = get_close_matches(name, Params.model_fields, n=1)
        hint = f". Did you mean {similar[0]}?" if similar else ""
        return f"{name}: {section!r} is no section of a model{hint}"
    if "architecture" in section:
        value = section["architecture"]
        similar = get_close_matches(str(value), ARCHITECTURES, n=1)
        hint = f". Did you mean {similar[0]}?" if similar else ""
        return f"{name}.architecture: {value!r} is not allowed. Use {architectures}{hint}"
    similar = get_close_matches("architecture", [str(key) for key in section], n=1)
    if similar:
        return f"{name}.{similar[0]}: there is no such param. Did you mean {name}.architecture?"
    similar = get_close_matches(name, Params.model_fields, n=1)
    hint = f". Did you mean {similar[0]}?" if similar else ""
    return f"{name}: the section of a model needs architecture: {architectures}{hint}"


def _params_of(kind: type[BaseModel], sections: Sequence[str]) -> list[str]:
    """Return the names of the params and sections in a section."""
    for name in sections:
        annotation = kind.model_fields[name].annotation
        assert isinstance(annotation, type)
        kind = annotation
    return list(kind.model_fields)
