"""The page of all settings, from the classes that check them."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from hintseg.methods import OWN
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.method import Method
from hintseg.methods.relabelling import RelabelSettings
from hintseg.methods.settings import Settings, TrainSettings, merge, validated

HEAD = """# Settings

*Written from the code by `make reference`; do not edit.*

`--set train.lr=0.001` sets one, `--config FILE.yaml` many, `--preset NAME` those of a paper.
Values are YAML, `null` is none. What a run was trained with stands in its `config.yaml`, which
`--config` takes. A setting that does not exist is an error that names the nearest one that does; a
value out of its range is an error as well.
"""
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
SHARED: Mapping[type[Settings], str] = {
    LocaliseSettings: "localise",
    RelabelSettings: "relabel",
}
EXPLAINED = {
    "localise": "Where seeds come from, in every method that has them. Before the name stands that "
    "of the method, or nothing: `--set localise.by=seam`.",
    "relabel": "How training images are labelled once the network has learned, by `spml` and by "
    "`hintseg label`.",
}


def part_of(field: FieldInfo) -> type[Settings] | None:
    """The settings of which a field consists, if it is not a single value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def kind_of(annotation: Any) -> str:
    """What may be given, as a user writes it."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return kind_of(get_args(annotation)[0])
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    if get_origin(annotation) is tuple:
        rest = ", …" if Ellipsis in get_args(annotation) else ""
        return f"[{', '.join(map(kind_of, parts))}{rest}]"
    if parts:
        named = [kind_of(part) for part in parts if part is not type(None)]
        return f"{', '.join(named)} or `null`"
    words = {"str": "text", "bool": "`true`, `false`", "int": "integer", "float": "number"}
    return words.get(annotation.__name__, annotation.__name__)


def bounds_of(field: FieldInfo) -> str:
    """The range of a value."""
    found = []
    for bound in field.metadata:
        for name, sign in SIGNS.items():
            if isinstance(bound, Ge | Gt | Le | Lt | MinLen) and hasattr(bound, name):
                found.append(f"{sign} {getattr(bound, name):g}")
    return ", ".join(found)


def plain(value: Any) -> str:
    """A default as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(plain(part) for part in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(kind: type[Settings], prefix: str) -> Iterator[str]:
    """A row for each value, those of parts after it."""
    parts = []
    for name, field in kind.model_fields.items():
        part = part_of(field)
        if part in SHARED:
            home = SHARED[part]
            yield f"| `{prefix}.{name}.…` | | | see [{home}](#{home}) |"
        elif part:
            parts.append((f"{prefix}.{name}", part))
        else:
            allowed = ", ".join(filter(None, (kind_of(field.annotation), bounds_of(field))))
            meaning = (field.description or "").replace("|", "\\|")
            yield f"| `{prefix}.{name}` | `{plain(field.default)}` | {allowed} | {meaning} |"
    for inner, part in parts:
        yield from table(part, inner)


def tabled(kind: type[Settings], prefix: str) -> str:
    """The table of some settings."""
    rows = list(table(kind, prefix))
    return "\n".join(["| setting | default | may be | meaning |", "|---|---|---|---|", *rows])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found.update(flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value})
    return found


def other_defaults(method: Method) -> dict[str, Any]:
    """Where shared parts have another default in this method."""
    own = validated(method.recipe().settings, method.name, method.defaults)
    found: dict[str, Any] = {}
    for kind, name in SHARED.items():
        if isinstance(part := getattr(own, name, None), kind):
            usual = flat(kind().model_dump())
            given = flat(part.model_dump())
            found |= {f"{name}.{k}": v for k, v in given.items() if v != usual[k]}
    return found


def listed(values: Mapping[str, Any]) -> str:
    """`name=value`, one after the other."""
    return ", ".join(f"`{name}={plain_or_list(value)}`" for name, value in values.items())


def plain_or_list(value: Any) -> str:
    """As `plain`, lists as tuples."""
    return plain(tuple(value) if isinstance(value, list) else value)


def method_section(method: Method) -> str:
    """A method: its settings, where shared ones differ, its presets."""
    kind = method.recipe().settings
    lines = [f"## {method.name}", "", f"{method.summary[0].upper()}{method.summary[1:]}."]
    if kind.model_fields:
        lines += ["", tabled(kind, method.name)]
    if others := other_defaults(method):
        lines += ["", f"Here the default is {listed(others)}."]
    for name, sections in method.presets.items():
        values = flat(merge(sections))
        lines += ["", f"Preset `{name}`: {listed(values)}."]
    return "\n".join([*lines, ""])


def settings_page() -> str:
    """The whole page."""
    sections = [
        HEAD,
        "## train",
        "",
        "What all methods share.",
        "",
        tabled(TrainSettings, "train"),
        "",
    ]
    sections += [method_section(method) for method in OWN]
    for kind, name in SHARED.items():
        sections += [f"## {name}", "", EXPLAINED[name], "", tabled(kind, name), ""]
    return "\n".join(sections)
