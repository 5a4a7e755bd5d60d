"""Save a model in Keras' format, so that equal models have equal files."""

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

# Keras writes these differently each time that it saves a model.
DATE = re.compile(rb', "date_saved": "[^"]*"')
OBJECT_ID = re.compile(rb'(?<="shared_object_id": )\d+')


def save_model(model: "keras.Model", path: Path) -> None:
    """Save a model in Keras' format. Equal models give equal bytes.

    Keras writes the date into the archive and its metadata, and memory addresses into the
    configuration, where they distinguish shared objects. Here, consecutive numbers replace them.
    """
    numbers: dict[bytes, int] = {}

    def number(object_id: re.Match[bytes]) -> bytes:
        return str(numbers.setdefault(object_id[0], len(numbers) + 1)).encode()

    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name.endswith(".json"):
                content = OBJECT_ID.sub(number, DATE.sub(b"", content))
            archive.writestr(zipfile.ZipInfo(name), content)  # ZipInfo's date is 1980-01-01
