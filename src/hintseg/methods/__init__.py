"""Every method: one paper's recipe on the shared parts."""

from collections.abc import Mapping

from hintseg.errors import UnknownNameError
from hintseg.methods.cross_entropy import FULL, PARTIAL
from hintseg.methods.job import Method
from hintseg.methods.regularized import REGULARIZED
from hintseg.methods.sec import SEC
from hintseg.methods.spml_stages import SPML

METHODS: Mapping[str, Method] = {
    method.name: method for method in (SPML, FULL, PARTIAL, REGULARIZED, SEC)
}


def find_method(name: str) -> Method:
    """A method by name.

    Raises:
        UnknownNameError: No such method; proposes the nearest.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
