"""What Vertex's runs and schedules share: Google's generated clients over REST, our patience, our errors.

The high-level SDK is left out: it looks for the bucket, makes it, asks Resource Manager, and takes seconds to import.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import quote

from components.adapters.gcp import errors
from components.adapters.patience import Patience
from components.core.errors import CaseError, EsteiraError, RunError, SetupError
from components.core.targets import Vertex

T = TypeVar("T")
PACKAGE, PREVIEW = "google.cloud.aiplatform_v1", "google.cloud.aiplatform_v1beta1"
CONSOLE = "https://console.cloud.google.com"
CALL = 60.0
"""Seconds that one call may take."""
AGAIN = "Run it again: what is there already is found."
_PATIENCE = Patience()


class Caller:
    """Calls of one service in a project and region.

    Parameters
    ----------
    service
        Of the package, such as pipeline_service.
    credentials
        Google's; None: the application's default ones.
    package
        The API's version.
    """

    def __init__(
        self,
        service: str,
        at: Vertex,
        *,
        patience: Patience | None = None,
        credentials: Any = None,
        package: str = PACKAGE,
    ) -> None:
        self.at, self._patience = at, patience or _PATIENCE
        name = "".join(word.capitalize() for word in service.split("_")) + "Client"
        self._make: Callable[..., Any] = getattr(load(f"services.{service}", package), name)
        self._client: Any = None
        self._credentials = credentials

    def call(self, method: str, *, about: str = "", remedy: str = AGAIN, **arguments: Any) -> Any:
        """One method's answer, asked again while the service is busy or away; `remedy` is for who gets none.

        Raises
        ------
        SetupError, CaseError, RunError
            Google's errors as ours, but for Conflict and NotFound.
        """
        return self.again(lambda: self.once(method, **arguments), about, remedy)

    def again(self, attempt: Callable[[], T], about: str, remedy: str = AGAIN) -> T:
        """What the attempt gives, made again while the service is busy or away. Raises as `call`."""
        with translated(self.at, about, remedy):
            return self._patience.retry(attempt, transient)

    def once(self, method: str, **arguments: Any) -> Any:
        """One attempt; Google's errors as they are."""
        return getattr(self._connected(), method)(**arguments, retry=None, timeout=CALL)

    def finish(self, operation: Any, about: str, most: float | None = None) -> Any:
        """What a long-running operation gives, waited for `most` seconds (none: as for a call). Raises as `call`."""
        patience = self._patience if most is None else replace(self._patience, deadline=most)

        def done() -> None:
            if not operation.done(retry=None):
                raise _Pending(about)

        with translated(self.at, about):
            try:
                patience.retry(done, lambda error: isinstance(error, _Pending) or transient(error))
            except _Pending:
                raise RunError("operation", "end", "it is still under way", "Look again later.", where=about) from None
            return operation.result()

    def _connected(self) -> Any:
        if self._client is None:
            from google.api_core.client_options import ClientOptions

            endpoint = self.at.endpoint or f"https://{self.at.region}-aiplatform.googleapis.com"
            credentials = self._credentials
            if credentials is None and endpoint.startswith("http://"):
                from google.auth.credentials import AnonymousCredentials

                credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
            options = ClientOptions(api_endpoint=endpoint)
            self._client = self._make(credentials=credentials, transport="rest", client_options=options)
        return self._client


class _Pending(Exception):
    """A long-running operation is under way."""


def load(module: str, package: str = PACKAGE) -> Any:
    """A module of aiplatform_v1, without that package's own __init__, which imports forty services in 5 s.

    Raises SetupError where it is not installed.
    """
    if package not in sys.modules:
        places = folders(package)
        stubs = {package: places, f"{package}.types": [f"{place}/types" for place in places]}
        for name, path in stubs.items():
            sys.modules[name] = stub = ModuleType(name)
            stub.__path__ = path
        try:
            return importlib.import_module(f"{package}.{module}")
        finally:
            for name in stubs:
                del sys.modules[name]
    return importlib.import_module(f"{package}.{module}")


def folders(package: str) -> list[str]:
    try:
        found = importlib.util.find_spec("google.cloud")
    except ModuleNotFoundError:
        found = None
    places = [Path(p) / package.rpartition(".")[2] for p in (found.submodule_search_locations or [])] if found else []
    there = [str(place) for place in places if place.is_dir()]
    if not there:
        remedy = "Install google-cloud-aiplatform into this environment: `make setup`."
        raise SetupError("google-cloud-aiplatform", "be installed", "no such module", remedy, where="vertex")
    return there


def transient(error: Exception) -> bool:
    """Whether the same call may succeed later; it may also have succeeded already."""
    from google.api_core import exceptions

    requests: Any = importlib.import_module("requests")  # it has no types

    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return "NameResolutionError" not in str(error)
    kinds = (
        exceptions.TooManyRequests,
        exceptions.ServiceUnavailable,
        exceptions.InternalServerError,
        exceptions.BadGateway,
        exceptions.GatewayTimeout,
        exceptions.RetryError,
    )
    return isinstance(error, kinds)


@contextmanager
def translated(at: Vertex, about: str = "", remedy: str = AGAIN) -> Iterator[None]:
    """Google's errors as ours; Conflict and NotFound are the caller's to understand."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    requests: Any = importlib.import_module("requests")
    try:
        yield
    except (exceptions.Conflict, exceptions.NotFound):
        raise
    except (exceptions.GoogleAPIError, GoogleAuthError, requests.exceptions.RequestException) as error:
        raise _translation(error, at, about, remedy) from error


def _translation(error: Exception, at: Vertex, about: str, again: str) -> EsteiraError:
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

    requests: Any = importlib.import_module("requests")
    told = words(error)
    if isinstance(error, DefaultCredentialsError):
        remedy = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS."
        return SetupError("credentials", "be there for Vertex AI", told, remedy)
    if isinstance(error, GoogleAuthError | exceptions.Unauthorized):
        return SetupError("credentials", "be valid", told, "Run `gcloud auth application-default login`.")
    if "SERVICE_DISABLED" in errors.reasons_of(error):
        remedy = "Enable it: gcloud services enable aiplatform.googleapis.com"
        return SetupError("aiplatform.googleapis.com", "be enabled in the project", told, remedy)
    if isinstance(error, exceptions.Forbidden):
        remedy = "Give the account roles/aiplatform.user, and roles/iam.serviceAccountUser on the service account."
        return SetupError(about or at.parent, "be open to this account", told, remedy)
    if isinstance(error, requests.exceptions.ConnectionError) and "NameResolutionError" in str(error):
        return no_service(at, "no such host")
    if isinstance(error, exceptions.BadRequest):
        return CaseError(about or "request", "be one that Vertex takes", told, "Mend what it names.")
    if isinstance(error, exceptions.TooManyRequests):
        again = "Wait and run it again, or ask for more of the quota that it names."
    return RunError("Vertex", "answer", told, again, where=about)


def words(error: Exception) -> str:
    """What the service itself says: Google's error puts the whole address before it."""
    cause = getattr(error, "cause", None)  # why Google's client asked again until its own deadline
    if isinstance(cause, Exception):
        return words(cause)
    response = getattr(error, "response", None)
    if response is not None and not hasattr(response, "json"):  # what failed is an operation
        return " ".join(str(getattr(error, "message", error)).split())
    try:
        told = response.json()["error"]["message"] if response is not None else str(error)
    except (ValueError, KeyError, TypeError):
        told = str(error)
    return " ".join(str(told).split())


def state(found: Any, known: Mapping[str, Any], prefix: str = "") -> Any:
    """A message's state as ours. Raises RunError for one that is not known: the wrapper would only warn."""
    raw = type(found).pb(found)
    value = raw.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number.get(raw.state)
    name = value.name.removeprefix(prefix) if value is not None else str(raw.state)
    if name not in known:
        remedy = "Look at it in the console; a newer Esteira may know this state."
        where = raw.name if hasattr(raw, "name") else raw.task_name
        raise RunError("state", f"be one that Vertex documents ({', '.join(known)})", name, remedy, where=where)
    return known[name]


def no_service(at: Vertex, told: str) -> SetupError:
    remedy = f"{at.region!r} has no Vertex AI for project {at.project!r}: choose another region in the profile."
    return SetupError("vertex.region", "have the service", told, remedy)


def logs(at: Vertex, query: str) -> str:
    """The address of Cloud Logging's page of what the query finds."""
    return f"{CONSOLE}/logs/query;query={quote(query, safe='')}?project={at.project}"


def seconds(moment: Any) -> float | None:
    """A proto-plus time stamp, if it is set."""
    return None if moment is None else float(moment.timestamp())
