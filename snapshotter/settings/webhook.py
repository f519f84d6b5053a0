"""What `snapshot-conversion-webhook` can be told, by topic."""

from dataclasses import dataclass

from snapshotter.settings.forms import boolean, duration, flag, integer, string
from snapshotter.settings.topics import IgnoredSettings, LogSettings, Mistake, WebSettings, broken


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The HTTPS endpoint that the API server calls."""

    certificate_file: str = flag(
        "tls-cert-file", string, "", "File with the certificate in PEM form, and its chain below it. Required."
    )
    key_file: str = flag("tls-private-key-file", string, "", "File with the certificate's key in PEM form. Required.")
    port: int = flag("port", integer, 443, "Port to listen at, on all addresses.")

    def mistakes(self) -> list[Mistake]:
        return [
            *(Mistake(f"--{name} is required", 255) for name, file in self._files() if not file),
            *broken((0 <= self.port < 65536, "--port must be from 0 to 65535")),
        ]

    def _files(self) -> tuple[tuple[str, str], ...]:
        return ("tls-cert-file", self.certificate_file), ("tls-private-key-file", self.key_file)


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """The check that a driver has one default class. It alone needs the API server."""

    enabled: bool = flag(
        "enable-default-class-admission",
        boolean,
        default=False,
        text="Answer reviews of classes at /validate-default-class: a driver gets no second default class.",
    )
    kubeconfig: str = flag("kubeconfig", string, "", "Path of a kubeconfig. Empty: we run inside the cluster.")


@dataclass(frozen=True, slots=True)
class EndSettings:
    """The end, after SIGTERM or SIGINT."""

    delay: float = flag(
        "shutdown-delay",
        duration,
        5.0,
        "Time that reviews are still taken, while /readyz says no more: others hear late that we go.",
        shown="5s",
    )
    grace: float = flag(
        "shutdown-grace-period",
        duration,
        20.0,
        "Time that reviews in hand are given to be answered after that.",
        shown="20s",
    )

    def mistakes(self) -> list[Mistake]:
        return broken(
            (self.delay >= 0, "--shutdown-delay must not be negative"),
            (self.grace >= 0, "--shutdown-grace-period must not be negative"),
        )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Everything that `snapshot-conversion-webhook` can be told."""

    tls: TlsSettings = TlsSettings()
    admission: AdmissionSettings = AdmissionSettings()
    end: EndSettings = EndSettings()
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()
    ignored: IgnoredSettings = IgnoredSettings()

    def mistakes(self) -> list[Mistake]:
        """What cannot be meant, all of it; empty when the settings make sense."""
        return [
            *self.tls.mistakes(),
            *self.end.mistakes(),
            *self.logs.mistakes(),
            *self.ignored.mistakes(self.logs),
            *self.web.mistakes(),
        ]
