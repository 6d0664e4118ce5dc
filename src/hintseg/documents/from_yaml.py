"""YAML from strangers -> plain values.

A parser of YAML follows references: 400 bytes can stand for 10**9 values, and reading the first of
them for a message takes all memory. Whole numbers may have millions of digits, of which Python
refuses to print more than 4300. What is refused is a ValueError that says why.
"""

from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

MOST_TEXT = 2**21  # letters of a YAML document
MOST_VALUES = 2**17  # with every reference followed
MOST_DEPTH = 64
MOST_DIGITS = 100
DIGITS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
ODD_ERRORS = (LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
"""What PyYAML lets through for a wrong value of an explicit type, such as `!!bool maybe`."""


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """The value of a YAML document of plain types.

    Raises:
        ValueError: No YAML, or one of more than MOST_TEXT letters, MOST_VALUES values, MOST_DEPTH
            levels; a number of more than MOST_DIGITS digits; a value that its type cannot have.

    Example:
        >>> parse_yaml("classes: [cow, grass]")
        {'classes': ['cow', 'grass']}
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"of {len(text)} letters; more than {MOST_TEXT} are not read")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ODD_ERRORS as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"a value that its type cannot have ({reason})") from error


class _Loader(yaml.SafeLoader):
    """The safe loader, which counts what a document stands for before it makes it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[int, int] = {}  # number of values of a node -> by its identity
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:  # noqa: ANN401
        """A node and all below it; those of a reference count as often as it occurs."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
        is_reference = self.check_event(yaml.AliasEvent)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and id(node) not in self._sizes:
            if is_reference:  # to one that has not ended yet
                raise ValueError("a value that contains itself")
            self._sizes[id(node)] = self._size(node)
        return node

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """An opening bracket; the scanner of thousands of them would take hours."""
        if self.flow_level > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
        super().fetch_flow_collection_start(token)

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ANN401
        """A value; numbers of a length that is one."""
        if isinstance(node, ScalarNode) and node.tag in DIGITS and len(node.value) > MOST_DIGITS:
            raise ValueError(f"a number of {len(node.value)} digits")
        return super().construct_object(node, deep=deep)

    def _size(self, node: Node) -> int:
        below: list[Node] = []
        if isinstance(node, MappingNode):
            below = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            below = node.value
        size = 1 + sum(self._sizes.get(id(part), 1) for part in below)
        if isinstance(node, CollectionNode) and size > MOST_VALUES:
            raise ValueError(f"stands for more than {MOST_VALUES} values")
        return size
