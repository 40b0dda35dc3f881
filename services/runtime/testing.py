"""What tests of several packages share."""


class NoText(str):
    """A header's name that is sent as bytes which are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Return them."""
        return b"\xff\xfex"
