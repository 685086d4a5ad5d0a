"""What a handler returns for an HTTP sink, and what a service answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from holdfast.errors import HandlerError

_SHOWN = 200
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
# A call of another host ("//host/...") would be counted, and held back, as one of this service; steps upwards
# leave it; a space or a line's end would end the path.
_PATH = re.compile(r"/(?!/)(?![^?]*/\.\.?(?:[/?]|$)|\.\.?(?:[/?]|$))[!-~]*")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One call of a service.

    Attributes:
        method: such as `POST`.
        path: where, below the `url` of the sink, with its query if it has one.
        json: an event, or anything else that pydantic writes as JSON: the body.
        content: the body as it is, instead of `json`.
        headers: beside those of the sink. `Idempotency-Key` replaces the one that is sent otherwise.

    Raises:
        HandlerError: `method`, `path`, `content` or `headers` is none, or there are two bodies.
    """

    method: str
    path: str
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise HandlerError(f"{self.method!r} is no method of HTTP")
        if not _PATH.fullmatch(self.path):
            raise HandlerError(
                f'the path of a call begins with "/" and is below the `url` of its sink, not {self.path!r}. '
                "Parts that are data are quoted with `urllib.parse.quote(part, safe='')`"
            )
        if self.content is not None:
            self._require_body()
        if self.headers or type(self.headers) is not dict:
            self._require_headers(self.headers)

    def _require_body(self) -> None:
        if self.json is not None:
            raise HandlerError(f"{self}: a call has either `json` or `content`")
        if not isinstance(self.content, (bytes, bytearray, memoryview)):
            raise HandlerError(
                f"{self}: `content` is bytes, not {_class(self.content)}; of a text, its `encode()`"
            )

    def _require_headers(self, headers: Any) -> None:
        if type(headers) is not dict and not isinstance(headers, Mapping):
            raise HandlerError(f"{self}: `headers` is a mapping, not {_class(headers)}")
        for name, value in headers.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise HandlerError(
                    f"{self}: headers are text, and {name!r} is {_class(value)}: write str(...)"
                )

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def body(self) -> bytes | None:
        """The bytes to send.

        Raises:
            HandlerError: `json` cannot be written as JSON.
        """
        if self.json is None:
            return self.content
        try:
            return to_json(self.json)
        except (PydanticSerializationError, TypeError, AttributeError, OverflowError, LookupError) as error:
            raise HandlerError(f"{self}: its body cannot be written as JSON: {error}") from error


def _class(value: object) -> str:
    """What a value is; not the value itself, which may be a secret."""
    return type(value).__name__


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a service answered.

    Attributes:
        status: such as 201.
        headers: their names in lower case; of several with one name the last.
        content: the body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status says that it was done."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.content)

    def __str__(self) -> str:
        try:
            said = f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:  # a number of the service's own
            said = str(self.status)
        body = " ".join(self.text[:_SHOWN].split())
        return f"{said}: {body}" if body else said
