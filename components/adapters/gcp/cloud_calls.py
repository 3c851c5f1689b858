"""Calls of a Google API that has a generated REST client and no region in its address: Cloud Run, Cloud Scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from components.adapters.gcp import errors
from components.adapters.gcp.vertex import CALL, transient
from components.adapters.patience import Patience
from components.core.errors import EsteiraError

T = TypeVar("T")
_PATIENCE = Patience()


class Calls:
    """Of one client.

    Parameters
    ----------
    make
        The client's class, imported when it is first called.
    where
        What the errors name.
    endpoint
        Another address; over http the caller stays anonymous.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        service: errors.Service,
        where: str,
        endpoint: str = "",
        patience: Patience | None = None,
    ) -> None:
        self._make, self._service, self._where, self._endpoint = make, service, where, endpoint
        self.patience = patience or _PATIENCE
        self._client: Any = None

    def call(self, method: str, *passing: type[Exception], **arguments: Any) -> Any:
        """One method's answer, as `again`."""
        return self.again(lambda: self.once(method, **arguments), *passing)

    def again(self, attempt: Callable[[], T], *passing: type[Exception]) -> T:
        """What the attempt gives, made again while the service is busy or away.

        Raises SetupError, DataError or RunError with the remedy; of Google's own errors those in `passing`.
        """
        try:
            with errors.translated(self._service, self._where):
                return self.patience.retry(attempt, transient)
        except EsteiraError as error:
            if isinstance(error.__cause__, passing):
                raise error.__cause__ from None
            raise

    def once(self, method: str, **arguments: Any) -> Any:
        """One attempt; Google's errors as they are."""
        return getattr(self._connected(), method)(**arguments, retry=None, timeout=CALL)

    def _connected(self) -> Any:
        if self._client is None:
            from google.api_core.client_options import ClientOptions
            from google.auth.credentials import AnonymousCredentials

            options = ClientOptions(api_endpoint=self._endpoint) if self._endpoint else None
            anonymous = AnonymousCredentials() if self._endpoint.startswith("http://") else None  # type: ignore[no-untyped-call]
            self._client = self._make()(credentials=anonymous, transport="rest", client_options=options)
        return self._client
