"""The settings of the HTTP server of worker and trainer."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from aestream.settings.values import OptionalSecret, OptionalText


class Http(BaseModel):
    """HTTP server for /metrics, /livez, /readyz and /version."""

    host: str = Field("127.0.0.1", description="The address to listen on; 0.0.0.0 for all interfaces.")
    port: int = Field(9108, ge=0, le=65535, description="The port; 0 picks a free one and logs it.")
    tls_certfile: OptionalText = Field(
        None, description="Certificate file of the server, with its chain: it then speaks TLS only."
    )
    tls_keyfile: OptionalText = Field(None, description="Private key file, unless the key is in the certificate file.")
    username: OptionalText = Field(None, description="User name for /metrics and /version (basic authentication).")
    password: OptionalSecret = Field(None, description="Password for /metrics and /version. A secret.")

    @model_validator(mode="after")
    def _pairs(self) -> Http:
        """Refuse half of a pair."""
        if (self.username is None) != (self.password is None):
            one, other = ("username", "password") if self.password is None else ("password", "username")
            raise ValueError(f"`{one}` is set and `{other}` is not: set both, or neither")
        if self.tls_keyfile is not None and self.tls_certfile is None:
            raise ValueError("`tls_keyfile` is set and `tls_certfile` is not: set both, or neither")
        return self
