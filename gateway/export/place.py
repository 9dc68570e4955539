"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from gateway.export.errors import ExportError


@contextmanager
def new_file(output: Path, force: bool) -> Iterator[BinaryIO]:
    """A file of mode 0600 in the folder of `output`, named so when the block ends well, else removed.

    Raises ExportError when `output` exists and `force` is not given, or when writing fails.
    """
    if output.exists() and not force:
        raise _exists(output)
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    except OSError as error:
        raise ExportError(f"{output.parent} cannot be written to: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(handle)
        if force:
            temporary.replace(output)
        else:
            _name(temporary, output)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, output: Path) -> None:
    """Give the file its name unless another has it by now."""
    try:
        output.hardlink_to(temporary)
    except FileExistsError:
        raise _exists(output) from None
    except OSError:  # file systems without hard links, such as those of memory sticks
        if output.exists():
            raise _exists(output) from None
        temporary.rename(output)


def _exists(output: Path) -> ExportError:
    return ExportError(f"{output} exists already and is left as it is")
