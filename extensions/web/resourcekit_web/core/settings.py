"""The options of a ``TokenAuth``, and what stops a start. Edit this module to add an option or a check."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError
from resourcekit.extending import EnvironmentVariable, is_async_function, runtime_of
from resourcekit_tokens import JWT, TokenResource
from resourcekit_web.core.cookies import Cookies
from resourcekit_web.core.origins import Origins, normal_origin

__all__ = ["Client", "Settings"]

Secret = str | EnvironmentVariable
_SHORTEST_SECRET: Final = 16  # characters


@attrs.frozen
class Client:
    """A program that may ask for revocation and introspection.

    secret: of at least 16 characters, or ``env("NAME")``. audience: the `aud` of the tokens that it sees; its own name unless
    given. A token without `aud` is for every client.
    """

    secret: Secret = attrs.field(repr=False)
    audience: str | None = None

    def read_secret(self) -> str:
        """Return the secret. Raise DeclarationError RK020 if its environment variable is not set."""
        return self.secret.read() if isinstance(self.secret, EnvironmentVariable) else self.secret


@attrs.frozen(kw_only=True)
class Settings:
    """The options of a ``TokenAuth``.

    resource: the token resource. user: a function of a subject that returns the user, or None for one who may not sign in; async
    in async frameworks. clients: by name, for revocation and introspection; without it these two routes are absent. name: the part
    of the cookies' names. prefix: the path of the routes. cookie_path: of the refresh cookie, if a proxy changes paths.
    origins: of the app, instead of ``https://`` and the Host header. trusted_origins: of pages elsewhere that may write by cookie.
    csrf: ``"strict"`` refuses unsafe requests by cookie that say nothing of their origin. health: add ``/healthz``, ``/livez``
    and ``/readyz``. supervise: run the background services of the resource with the app; a domain: of all its
    resources; False: none, because another process does.
    """

    resource: Any
    user: Callable[[str], Any] | None = None
    clients: Mapping[str, Secret | Client] = attrs.field(factory=dict[str, "Secret | Client"])
    name: str = "rk"
    prefix: str = "/auth"
    cookie_path: str | None = None
    origins: Collection[str] = ()
    trusted_origins: Collection[str] = ()
    csrf: Literal["usual", "strict"] = "usual"
    health: bool = True
    supervise: Any = True
    cookies: Cookies = attrs.field(init=False, repr=False)
    allowed_origins: Origins = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the options. Nothing from outside is read, so this may run at import."""
        object.__setattr__(self, "cookies", Cookies(self.name, self.prefix, self.cookie_path))
        _raise(list(_wrong_options(self)))
        object.__setattr__(self, "allowed_origins", Origins.read(self.origins, self.trusted_origins, self.csrf))

    @property
    def token_options(self) -> TokenResource:
        """The options of the token resource. Raise DeclarationError RK301 for a class that is none."""
        try:
            return TokenResource.of(self.resource)
        except (ResourcekitError, AttributeError, LookupError, TypeError):
            name = getattr(self.resource, "__name__", repr(self.resource))
            hint = "Declare it with extensions=[TokenResource(jwt=JWT(...))]."
            raise DeclarationError("RK301", f"{name} is not a token resource", path=("TokenAuth",), hint=hint) from None

    @property
    def jwt(self) -> JWT:
        """The keys. Raise DeclarationError RK301 for a resource without keys."""
        keys = self.token_options.jwt
        if keys is None:
            hint = 'Write TokenResource(jwt=JWT(env("TOKEN_SECRET"))).'
            what = "has no keys, so no request can be authenticated"
            raise DeclarationError("RK301", what, resource=self.resource.__name__, path=("TokenAuth",), hint=hint)
        return keys

    @property
    def signs(self) -> bool:
        """Whether there is a key that signs; a resource for tokens of identity providers has none."""
        return any(not key.verify_only for key in self.jwt.keys)

    @property
    def has_sessions(self) -> bool:
        """Whether the resource keeps a record for each sign-in."""
        return self.token_options.sessions

    def client(self, name: str) -> Client | None:
        """Return a client by name."""
        given = self.clients.get(name)
        return given if given is None or isinstance(given, Client) else Client(given)

    def check_deployment(self, *, is_async: bool, at_import: bool = False) -> None:
        """Raise DeclarationError for all that would break the first request.

        These are secrets that are not set, a resource without keys, a ``user`` function that the framework cannot await, a server
        that trusts the headers of any proxy, and what sealing the domain finds, such as two resources with one table.

        at_import: the app has no start of its own (Flask), or is only looked at (``manage.py check``). Other resources and
        variables of the environment may come later, so only two resources with one table are an error of the domain.
        """
        findings: list[DeclarationError] = []
        try:
            findings += self.jwt.check_keys()
        except DeclarationError as error:
            findings.append(error)
        _raise([*findings, *_deployment_errors(self, is_async=is_async)])
        try:
            runtime_of(self.resource)  # seals its domain
        except (DeclarationError, DeclarationErrors) as error:
            found = error.exceptions if isinstance(error, DeclarationErrors) else (error,)
            if not at_import or any(isinstance(each, DeclarationError) and each.code == "RK051" for each in found):
                raise


def _raise(findings: list[DeclarationError]) -> None:
    if len(findings) > 1:
        raise DeclarationErrors(findings)
    if findings:
        raise findings[0]


def _wrong(option: str, what: str, hint: str, code: str = "RK302") -> DeclarationError:
    return DeclarationError(code, what, path=("TokenAuth", option), hint=hint)


def _wrong_options(settings: Settings) -> Iterator[DeclarationError]:
    if problem := settings.cookies.problem():
        yield _wrong("name", problem, "Leave the option out for the usual name.")
    prefix = settings.prefix
    if not prefix.startswith("/") or prefix.endswith("/") or set(prefix) & set(" ;,{}<>?#\"'"):
        yield _wrong("prefix", f"prefix={prefix!r} is not a path", 'Write it like "/auth": with a slash before, and none behind.')
    for option in ("origins", "trusted_origins"):
        given: object = getattr(settings, option)
        listed = [] if isinstance(given, str) else list(given)  # type: ignore[call-overload]  # a wrong one is told below
        for origin in listed:
            if not isinstance(origin, str) or normal_origin(origin) is None:
                hint = 'Write each like "https://app.example.com": no path, no wildcard.'
                yield _wrong(option, f"{origin!r} is not an origin", hint)
        if isinstance(given, str):
            yield _wrong(option, "must be a list of origins, is one text", f'Write {option}=["{given}"].')
    if settings.csrf not in {"usual", "strict"}:
        yield _wrong("csrf", f"csrf={settings.csrf!r} is unknown", 'Write csrf="strict", or leave it out.')
    if not isinstance(settings.clients, Mapping):
        yield _wrong("clients", "must be a mapping", 'Write clients={"billing": env("BILLING_SECRET")}.')
    else:
        for name, secret in settings.clients.items():
            if not isinstance(secret, (str, EnvironmentVariable, Client)):
                hint = f'Write clients={{"{name}": env("{str(name).upper()}_SECRET")}}.'
                yield _wrong("clients", f"the secret of {name!r} must be a text, is {type(secret).__name__}", hint)
    if settings.user is not None and not (callable(settings.user) and _takes_subject(settings.user)):  # type: ignore[redundant-expr]  # a wrong one
        hint = "Give a function of a subject that returns the user or None."
        yield _wrong("user", "is not a function of one argument", hint)


def _takes_subject(user: Callable[..., object]) -> bool:
    try:
        inspect.signature(user).bind("subject")
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def _deployment_errors(settings: Settings, *, is_async: bool) -> Iterator[DeclarationError]:
    if settings.user is not None and not is_async and is_async_function(settings.user):
        yield _wrong("user", "is an async function, which this framework cannot await", "Give a plain function.")
    for name in settings.clients:
        client = settings.client(name)
        try:
            secret = "" if client is None else client.read_secret()
        except DeclarationError as error:
            yield error
            continue
        if len(secret) < _SHORTEST_SECRET:
            hint = (
                f"Draw one of at least {_SHORTEST_SECRET} characters: python -c 'import secrets; print(secrets.token_urlsafe())'."
            )
            yield _wrong("clients", f"the secret of {name!r} is too short", hint)
    if not settings.origins and os.environ.get("FORWARDED_ALLOW_IPS", "").strip() == "*":
        what = "FORWARDED_ALLOW_IPS=* lets every client say that it is a proxy, and under which scheme the app is reached"
        hint = 'Name the addresses of your proxies in it, or name the app\'s own origins: origins=["https://app.example.com"].'
        yield _wrong("origins", what, hint, "RK304")
