"""Limits on wrong passwords at the admin's login, through real requests."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import reverse
from pytest_django import Settings

from ragproject import logins

LOGIN = "/admin/login/"
HOME, OFFICE = "192.0.2.1", "198.51.100.7"
PASSWORD = "the right one"


@pytest.fixture(autouse=True)
def staff(db: None) -> None:
    get_user_model().objects.create_superuser("ada", "", PASSWORD)


WRONG = "wrong"


def login(password: str = WRONG, *, name: str = "ada", address: str = HOME, **headers: str) -> Any:
    data = {"username": name, "password": password, "next": "/admin/"}
    return Client(REMOTE_ADDR=address, headers=headers).post(LOGIN, data)


def let_in(address: str, name: str = "ada") -> bool:
    return bool(login(PASSWORD, name=name, address=address).status_code == 302)


def fail(times: int, **where: str) -> list[int]:
    return [login(**where).status_code for _ in range(times)]


def test_the_login_works() -> None:
    assert let_in(HOME)


def test_an_account_is_locked_for_the_address_that_guesses(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 3
    assert fail(4) == [200, 200, 429, 429]
    assert not let_in(HOME), "the right password must not tell itself from wrong ones"
    assert let_in(OFFICE)


def test_a_right_password_forgets_the_wrong_ones(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 3
    for _ in range(3):
        assert fail(2) == [200, 200]
        assert let_in(HOME)


def test_an_address_is_locked_after_more_failures_over_any_accounts(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ADDRESS = 6
    assert [login(name=f"guess {n}").status_code for n in range(7)] == [200] * 5 + [429, 429]
    assert not let_in(HOME)
    assert let_in(OFFICE)


def test_an_own_account_does_not_forget_what_was_tried_on_others(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ADDRESS = 4
    get_user_model().objects.create_superuser("eve", "", PASSWORD)
    for n in range(3):
        fail(1, name=f"guess {n}")
        assert let_in(HOME, "eve")
    assert fail(1, name="guess 3") == [429]


def test_other_browsers_and_forged_addresses_are_no_way_around(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 3
    tried = [login(**{"user-agent": f"b{n}", "x-forwarded-for": f"203.0.113.{n}"}).status_code for n in range(3)]
    assert tried == [200, 200, 429]


def test_the_addresses_of_one_ipv6_network_count_together(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 3
    assert [login(address=f"2001:db8::{n}").status_code for n in (1, 2, 3)] == [200, 200, 429]


def test_the_owner_of_an_account_attacked_from_everywhere_gets_in_at_the_usual_address(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = 8
    assert let_in(HOME)
    for n in range(8):
        fail(1, address=f"203.0.113.{n}")
    assert fail(1, address="203.0.113.200") == [429], "guessing goes on from ever new addresses"
    assert AccessAttempt.objects.count() == 8, "what is refused must not make the lock longer"
    assert let_in(HOME)
    assert not let_in(OFFICE)


def test_a_lock_ends(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 1
    assert fail(1) == [429]
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - settings.AXES_COOLOFF_TIME)
    assert let_in(HOME)


def test_the_page_says_when_to_try_again_and_how_to_unlock(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_PAIR, settings.AXES_COOLOFF_TIME = 1, timedelta(minutes=10)
    response = login()
    assert response.status_code == 429
    assert 590 < int(response["Retry-After"]) <= 600
    html = response.content.decode()
    assert "Try again in 10 minutes" in html
    command = re.search(r"python manage.py ([^<]*)<", html)
    assert command
    assert command[1] == f"axes_reset_ip {HOME}"
    call_command(*command[1].split(), verbosity=0)
    assert let_in(HOME)


def test_an_account_locked_from_everywhere_is_unlocked_by_its_name(settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = 2
    fail(1, address="203.0.113.1")
    assert "axes_reset_username NAME" in login(address="203.0.113.2").content.decode()
    call_command("axes_reset_username", "ada", verbosity=0)
    assert let_in(OFFICE)


def test_the_page_is_the_same_in_a_web_process(settings: Settings) -> None:
    """Which runs axes' middleware another way."""
    settings.LOGIN_FAILURES_PER_PAIR = 1

    async def post() -> Any:
        return await AsyncClient().post(LOGIN, {"username": "ada", "password": "wrong"})

    response = async_to_sync(post)()
    assert response.status_code == 429
    assert "axes_reset_ip 127.0.0.1" in response.content.decode()


def test_the_log_names_account_and_address_and_no_password(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LOGIN_FAILURES_PER_PAIR = 2
    for _ in range(2):
        login("hunter2", name="ada\nERROR forged")
    assert "hunter2" not in caplog.text
    assert f"Locking out account 'ada\\nERROR forged' from {HOME} after repeated login failures" in caplog.text
    assert not [line for line in caplog.text.splitlines() if line.startswith("ERROR forged")]
    assert "hunter2" not in str(list(AccessAttempt.objects.values()))


@pytest.mark.parametrize("name", ["", "x" * 100_000, "a\0b", "\u202e", "'; drop table"])
def test_any_name_is_only_a_wrong_one(name: str) -> None:
    assert login(name=name).status_code == 200


def test_readers_are_told_what_is_wrong_with_a_name() -> None:
    page = Client().post(reverse("login"), {"username": "x" * 151, "password": WRONG}).content.decode()
    assert "at most 150 characters" in page


@pytest.mark.django_db(transaction=True)
def test_guesses_at_the_same_moment_are_counted_one_by_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without turns, all of them would have been let through before the first was counted."""
    settings.LOGIN_FAILURES_PER_PAIR = 3
    checked: list[str] = []
    together = threading.Barrier(8)
    authenticate = ModelBackend.authenticate

    def counted(self: ModelBackend, *args: Any, **kwargs: Any) -> Any:
        checked.append(kwargs["username"])
        return authenticate(self, *args, **kwargs)

    def guess(number: int) -> int:
        together.wait(60)
        try:
            return int(login().status_code)
        finally:
            connections.close_all()

    monkeypatch.setattr(ModelBackend, "authenticate", counted)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(guess, range(8)))
    assert len(checked) == 3
    assert sorted(statuses) == [200, 200] + [429] * 6


def test_staff_see_the_attempts_in_the_admin(admin_client: Client) -> None:
    fail(1)
    page = admin_client.get(reverse("admin:axes_accessattempt_changelist"))
    assert HOME in page.content.decode()
    assert logins.described(None, HOME, "", "", page.wsgi_request) == f"account '' from {HOME}"
