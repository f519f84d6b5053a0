"""How a method of the driver says no."""

import grpc


class Refused(Exception):
    """The call ends with this gRPC code and text."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def invalid(text: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, text)


def not_found(what: str, identifier: str) -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, f"no {what} {identifier!r}")


def already_exists(text: str) -> Refused:
    return Refused(grpc.StatusCode.ALREADY_EXISTS, text)


def unimplemented(method: str) -> Refused:
    return Refused(grpc.StatusCode.UNIMPLEMENTED, f"this driver does not serve {method}")
