"""Every method: one paper's recipe on the shared parts.

Records only: importing this package imports no method's code and no torch. Another package adds a
method by an entry point of the group `hintseg.methods` that names a `Method`.
"""

import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from hintseg.errors import DataWarning, UnknownNameError
from hintseg.methods.cross_entropy import FULL, PARTIAL
from hintseg.methods.ldf import LDF
from hintseg.methods.method import Method
from hintseg.methods.regularized import REGULARIZED
from hintseg.methods.sec import SEC
from hintseg.methods.seeded import AFFINITYNET, CAM, IRN, RCA, SC_CAM, SEAM
from hintseg.methods.spml import SPML

GROUP = "hintseg.methods"
OWN = (SPML, FULL, PARTIAL, REGULARIZED, SEC, CAM, AFFINITYNET, IRN, SEAM, SC_CAM, RCA, LDF)


def find_method(name: str) -> Method:
    """A method by name.

    Raises:
        UnknownNameError: No such method; proposes the nearest.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]


def _methods_of_others() -> Iterator[Method]:
    """Methods of other packages; one that cannot be loaded is left out with a warning."""
    taken = {method.name for method in OWN}
    for point in entry_points(group=GROUP):
        try:
            method = point.load()
        except Exception as error:  # whatever another package does wrong
            warnings.warn(f"method {point.name} of {point.value}: {error!r}", DataWarning, 2)
            continue
        if isinstance(method, Method) and method.name not in taken:
            taken.add(method.name)
            yield method
        else:
            reason = "its name is taken" if isinstance(method, Method) else "it is no Method"
            warnings.warn(f"method {point.name} of {point.value}: {reason}", DataWarning, 2)


METHODS: Mapping[str, Method] = {m.name: m for m in (*OWN, *_methods_of_others())}
