"""The HTTP endpoint that Prometheus scrapes, of a line or of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import choose_encoder

from inspectd import config
from inspectd.endpoint import Endpoint, metrics_access
from inspectd.errors import UnavailableError
from inspectd.text import cannot_listen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class MetricsServer:
    """The HTTP endpoint Prometheus scrapes, in a thread of its own."""

    def __init__(
        self,
        registry: CollectorRegistry,
        settings: config.MetricsSettings,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen by `settings`; `on_refused` is called for each wrong name or password.

        Raises:
            InputError: a certificate, key or users file cannot be used.
            UnavailableError: the address is taken or is not one of this host.
        """
        tls, users = metrics_access(settings)
        address = (settings.host, settings.port)
        try:
            self._endpoint = Endpoint(
                _metrics_app(registry), address, tls=tls, users=users, on_refused=on_refused
            )
        except OSError as error:
            raise UnavailableError(cannot_listen("metrics.host, metrics.port", *address, error)) from error

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._endpoint.close()


@contextmanager
def metrics_served(registry: CollectorRegistry, settings: config.MetricsSettings) -> Iterator[None]:
    """Serve meanwhile, where the settings name a port; raises as `MetricsServer`."""
    server = MetricsServer(registry, settings) if settings.port else None
    try:
        yield
    finally:
        if server is not None:
            server.close()


def _metrics_app(registry: CollectorRegistry) -> WSGIApplication:
    """What is scraped, in the plain text format where the client's `Accept` names no version that is one."""
    app: WSGIApplication = make_wsgi_app(registry)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            choose_encoder(environ.get("HTTP_ACCEPT", ""))
        except (TypeError, ValueError):  # the library compares what it finds there with numbers
            del environ["HTTP_ACCEPT"]
        return app(environ, start_response)

    return serve
