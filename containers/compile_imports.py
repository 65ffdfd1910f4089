"""Write byte code for modules of this environment, and for all that they import from it: a container does not write it.

It is found by the content of the source, not by its time, which the layers of an image do not keep.
"""

from __future__ import annotations

import importlib
import py_compile
import sys
from pathlib import Path


def main() -> None:
    """Import the modules that are named on the command line, and compile what was imported.

    A module with a question mark behind its name may be missing, or need a package that is.
    """
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name.removesuffix("?"))
        except ModuleNotFoundError:
            if not name.endswith("?"):
                raise
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for file in sorted(name for name in files if name and name.endswith(".py")):
        if Path(file).is_relative_to(sys.prefix):
            py_compile.compile(file, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
