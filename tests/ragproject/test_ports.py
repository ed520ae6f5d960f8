"""Ports that are kept for servers which are started later."""

import socket

import pytest

from ragproject.embedded.ports import hold_port


def test_a_server_may_listen_on_a_held_port_again_and_again_and_nobody_else_is_given_it() -> None:
    with hold_port() as holder:
        address = holder.getsockname()
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            with socket.create_server(address), socket.create_connection(address) as connection:
                assert connection.getpeername() == address
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
