"""Values that do not fit their declared fields, when they are written.

pydantic checks what it builds, not what comes from elsewhere: a field of a `NamedTuple` or dataclass, or of a
model made by `model_construct`, may hold anything. Its serializers warn of that and write the value as it is,
which nobody could read back. Where values become durable the warning has to be an error.
"""

from __future__ import annotations

import warnings
from typing import Final

from pydantic_core import PydanticSerializationError

UNWRITABLE: Final = (PydanticSerializationError, UserWarning)
"""What a serializer raises for a value that it cannot write, or, after `refuse_misfits`, should not."""


def refuse_misfits() -> None:
    """Make pydantic's serializers raise for a value that does not fit its field.

    It holds for this process from now on, or inside a `warnings.catch_warnings` block.

    A filter, because the serializers' own option for it takes five times as long as all of their work.
    """
    warnings.filterwarnings("error", "Pydantic serializer warnings", UserWarning)
