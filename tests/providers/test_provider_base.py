"""Discovery of providers by their files, and a contract test for each."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from service import providers
from service.domain.calls import WEBSOCKET
from service.providers.base.provider import Markup, Webhook
from tests.support.provider_contract import ProviderContract
from tests.support.wire_contract import WireContract

HERE = Path(__file__).parent


def contracts(module: str) -> list[type[WireContract]]:
    """Return the contract classes in the test file of a provider's module."""
    path = HERE / f"test_{module}.py"
    spec = importlib.util.spec_from_file_location(f"contract_of_{module}", path)
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    return [
        value
        for name, value in vars(tests).items()
        if name.startswith("Test") and isinstance(value, type) and issubclass(value, WireContract)
    ]


def test_all_providers_are_found() -> None:
    assert set(providers.load()) >= {"twilio", "plivo", "telnyx"}
    assert WEBSOCKET not in providers.load()


def test_a_provider_is_named_after_its_file() -> None:
    for name, provider in providers.load().items():
        assert type(provider).__module__ == f"service.providers.{name}"


def test_every_provider_has_a_contract_test() -> None:
    for name, provider in providers.load().items():
        assert any(
            issubclass(contract, ProviderContract) and contract.provider is provider
            for contract in contracts(name)
        ), name


def test_the_custom_protocol_has_a_wire_contract_test() -> None:
    assert contracts("custom")


def test_a_webhook_gives_the_first_value_of_a_name() -> None:
    hook = Webhook((("Digits", "5"), ("digits", "6"), ("Digits", "7"), ("Empty", "")))
    assert hook.get("Digits") == "5"
    assert hook.get("Empty") == ""
    assert hook.get("empty") is None


def test_empty_markup_is_a_document() -> None:
    assert Markup.of().text == '<?xml version="1.0" encoding="UTF-8"?><Response />'
