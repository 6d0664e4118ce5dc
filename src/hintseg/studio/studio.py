"""A folder in the studio: a data set that is worked on, or one that is yet to become one."""

from pathlib import Path
from threading import Lock
from typing import Any

from hintseg.data.dataset import DATASET_FILE
from hintseg.errors import DataError, HintSegError
from hintseg.studio.opening import (
    begin,
    data_set_of,
    facts_of_folder,
    mend,
    photograph_folder,
    take_in,
)
from hintseg.studio.session import Session, id_of


class NotOpenError(HintSegError):
    """The folder is no data set yet, or no longer one; the page shows what can be done."""


class Studio:
    """What the server serves."""

    def __init__(self, folder: Path, run: Path | None = None, session: Session | None = None):
        self.root, self._run = data_set_of(folder), run
        self._lock, self._session, self._runs = Lock(), session, False
        if session is not None:
            return
        file = self.root / DATASET_FILE
        if file.exists() or run is not None:
            try:
                self._session = Session(self.root, run)
            except DataError:
                if not file.exists() or run is not None:
                    raise  # a run is for a data set that can be opened
        elif self.root.exists() and not self.root.is_dir():
            raise DataError(f"{self.root}: not a folder; name the one of a data set or of images")

    @property
    def session(self) -> Session:
        """The data set; NotOpenError where there is none."""
        if self._session is None:
            raise NotOpenError(f"{self.root}: no data set yet")
        return self._session

    @property
    def id(self) -> str:
        """Of the data set that is served."""
        return id_of(self.root)

    def start(self) -> None:
        """Begin what works in the background."""
        self._runs = True
        if self._session is not None:
            self._session.start()

    def close(self) -> None:
        """End it."""
        if self._session is not None:
            self._session.close()

    def facts(self) -> dict[str, Any]:
        """What the page asks for first."""
        if self._session is None:
            return {"id": self.id, **facts_of_folder(self.root)}
        self._session.look_for_model()
        return self._session.facts()

    def begin(self, classes: list[str], background: str | None) -> None:
        """Make a data set of the photographs and open it; errors as `opening.begin`."""
        with self._lock:
            self._open(begin(self.root, classes, background))

    def text(self) -> str:
        """What dataset.yaml says."""
        try:
            return (self.root / DATASET_FILE).read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise DataError(f"{self.root / DATASET_FILE}: {error.strerror}") from error

    def mend(self, text: str) -> None:
        """Write dataset.yaml anew and open it; errors as `opening.mend`."""
        with self._lock:
            if self._session is not None:
                self._session.mend(text)
            else:
                mend(self.root, text)
                self._open(self.root)

    def take_in(self, name: str, content: bytes) -> str:
        """Add a photograph; errors as `opening.take_in`."""
        if self._session is not None:
            return self._session.take_in(name, content)
        return take_in(photograph_folder(self.root), name, content)

    def _open(self, root: Path) -> None:
        self.root = root
        self._session = Session(root, self._run)
        if self._runs:
            self._session.start()
