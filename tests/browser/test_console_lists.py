"""Pages that create, edit, search and delete connectors, rules, webhooks and agents."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from service.api.subscriptions import NEVER
from service.domain.webhook_events import CallEvent
from service.providers import load
from service.providers.base.provider import Provider
from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.receivers import Receiver, receiving


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    """A server that may deliver webhooks to receivers on this machine."""
    data = tmp_path_factory.mktemp("data")
    with running_patchbay(data, WEBHOOK_ALLOW_PRIVATE="on") as running:
        yield running


@pytest.fixture(autouse=True)
def empty_lists(patchbay: Patchbay) -> None:
    """Delete what earlier tests created."""
    for path in ("/v2/sip/routing-rule", "/v2/sip/webhooks", "/v2/agents", "/v2/connectors"):
        for each in patchbay.ask("GET", f"{path}?perPage=100")[1]["data"]:
            assert patchbay.ask("DELETE", f"{path}/{each['id']}")[0] == 200


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


def click(within: Page | Locator, name: str) -> None:
    within.get_by_role("button", name=name, exact=True).click()


def fill(dialog: Locator, **values: str) -> None:
    """Fill in the fields with these labels."""
    for label, value in values.items():
        dialog.get_by_label(label, exact=True).fill(value)


def dialog_of(page: Page, button: str) -> Locator:
    """Press a button that opens a dialog, and return the dialog."""
    click(page.get_by_role("main"), button)
    return page.get_by_role("dialog")


def confirm(page: Page, button: str, verb: str) -> None:
    click(dialog_of(page, button), verb)


def call(url: str) -> None:
    """Make a short phone call."""
    Phone(Scenario(webhook_url=url, sample=sound.melody(), loop=True, seconds=0.2)).start().join()


def let_page_poll(page: Page) -> None:
    """Advance the page's clock to its next poll."""
    page.clock.fast_forward(5000)


def id_of(page: Page) -> str:
    """Return the id in the page's address."""
    return page.url.rpartition("/")[2]


def url_of(patchbay: Patchbay, page: Page) -> str:
    """Return the webhook URL of the connector on the page."""
    return str(patchbay.ask("GET", f"/v2/connectors/{id_of(page)}")[1]["data"]["webhookUrl"])


def test_connector_is_created_its_url_copied_and_its_first_call_shown(
    patchbay: Patchbay, console_page: Page
) -> None:
    page = console_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/console/connectors")
    click(page.get_by_role("main").locator("header"), "New connector")
    dialog = page.get_by_role("dialog")
    fill(dialog, Name="Front desk", Room="two words")
    click(dialog, "Create connector")
    expect(dialog.locator(".fault")).to_have_text(
        [re.compile("^$"), re.compile("^Room must be 1 to 128 characters without white space")]
    )
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Front desk")
    fill(dialog, Room="desk-room")
    click(dialog, "Create connector")
    page.wait_for_url("**/console/connectors/cn_*")
    expect(page.locator("h1")).to_have_text("Front desk")

    url = url_of(patchbay, page)
    assert url not in page.content()
    click(page.locator(".steps"), "Copy the webhook URL")
    assert page.evaluate("navigator.clipboard.readText()") == url
    click(page.locator(".steps"), "Copy the status URL")
    assert page.evaluate("navigator.clipboard.readText()") == f"{url}/status"
    click(page.locator(".steps"), "Show the webhook URL")
    expect(page.locator(".steps code").first).to_have_text(url)

    expect(page.locator(".first-call")).to_have_text("No call has reached this URL yet.")
    call(url)
    expect(page.locator(".first-call")).to_contain_text("First call")
    call(url)
    expect(page.locator(".first-call")).to_contain_text("Last call")
    expect(page.locator(".first-call")).to_contain_text("2 calls in all")


def test_connector_is_edited_rotated_and_deleted(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    url = patchbay.webhook("twilio", "desk-room")
    page.goto("/console/connectors")
    page.locator("tbody a").first.click()
    expect(page.locator("h1")).to_be_visible()
    dialog = dialog_of(page, "Edit settings")
    fill(dialog, Name="Night desk", Room="", Region="in002")
    click(dialog, "Save")
    expect(page.locator("h1")).to_have_text("Night desk")
    expect(page.locator("dl")).to_contain_text("none: calls without a rule are rejected")
    expect(page.locator("dl")).to_contain_text("in002")

    confirm(page, "New webhook URL", "Cancel")
    assert url_of(patchbay, page) == url
    confirm(page, "New webhook URL", "Create a new URL")
    expect(page.get_by_role("status").filter(has_text="new webhook URL")).to_be_visible()
    new_url = url_of(patchbay, page)
    assert new_url != url
    click(page.locator(".steps"), "Show the webhook URL")
    expect(page.locator(".steps code").first).to_have_text(new_url)

    confirm(page, "Delete", "Delete connector")
    page.wait_for_url("**/console/connectors")
    expect(page.get_by_role("main")).not_to_contain_text("Night desk")


def test_credentials_are_set_replaced_and_removed(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    patchbay.webhook("twilio", None)
    page.goto("/console/connectors")
    page.locator("tbody a").first.click()
    dialog = dialog_of(page, "Set accountSid")
    fill(dialog, accountSid="AC1")
    click(dialog, "Set")
    expect(dialog.locator(".fault")).to_have_text(
        "accountSid must be AC and 32 hexadecimal digits."
    )
    expect(dialog.get_by_label("accountSid")).to_have_value("AC1")
    fill(dialog, accountSid="AC" + "0" * 32)
    click(dialog, "Set")
    expect(page.locator("tr", has_text="accountSid").locator(".pill")).to_have_text("set")
    expect(page.get_by_role("main")).to_contain_text("Signatures are not checked")

    dialog = dialog_of(page, "Set authToken")
    fill(dialog, authToken="a-secret")
    expect(dialog.get_by_label("authToken", exact=True)).to_have_attribute("type", "password")
    click(dialog, "Set")
    expect(page.get_by_role("main")).not_to_contain_text("Signatures are not checked")
    dialog = dialog_of(page, "Replace authToken")
    fill(dialog, authToken="another", **{"Previous value": "a-secret"})
    click(dialog, "Replace")
    expect(dialog).to_have_count(0)
    assert "a-secret" not in page.content()

    confirm(page, "Remove authToken", "Remove")
    expect(page.locator("tr", has_text="authToken").locator(".pill")).to_have_text("not set")
    confirm(page, "Remove all", "Remove all")
    expect(page.locator("tr", has_text="accountSid").locator(".pill")).to_have_text("not set")


@pytest.mark.parametrize("provider", load().values(), ids=lambda each: each.name)
def test_page_offers_every_credential_of_a_provider(
    patchbay: Patchbay, console_page: Page, provider: Provider
) -> None:
    patchbay.webhook(provider.name, None)
    console_page.goto("/console/connectors")
    console_page.locator("tbody a").first.click()
    names = [each.name for each in provider.credentials]
    expect(console_page.locator("tbody code")).to_have_text(names)


def test_rule_is_created_edited_and_deleted(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    patchbay.ask("POST", "/v2/agents", {"name": "Clerk", "url": "https://example.com/clerk"})
    page.goto("/console/rules")
    expect(page.get_by_role("main")).to_contain_text("No rule yet")
    dialog = page.get_by_role("dialog")
    click(page.get_by_role("main").locator("header"), "New rule")
    fill(
        dialog,
        Name="Support",
        Numbers="+14155550199\n+1415",
        PIN="12ab",
        **{"Allowed callers": "+91*"},
    )
    click(dialog, "Create rule")
    expect(dialog.locator(".fault:not(:empty)")).to_have_text(
        [
            "“+1415” must be a phone number in E.164, such as +14155550100.",
            "PIN must be 1 to 16 digits.",
        ]
    )
    fill(dialog, Numbers="+14155550199", PIN="4321")
    click(dialog, "Create rule")
    expect(dialog.locator(".fault:not(:empty)")).to_have_text("Room is required for a static room.")
    fill(dialog, Room="support-room")
    dialog.get_by_label("Agent").select_option("Clerk")
    expect(dialog.get_by_label("PIN", exact=True)).to_have_attribute("type", "password")
    click(dialog, "Show the PIN")
    expect(dialog.get_by_label("PIN", exact=True)).to_have_attribute("type", "text")
    click(dialog, "Create rule")
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("+14155550199")
    expect(row.locator(".pill")).to_have_text(["PIN", "allowed callers only"])
    expect(row).to_contain_text("Clerk")
    (rule,) = patchbay.ask("GET", "/v2/sip/routing-rule")[1]["data"]
    assert rule["room"] == {"type": "static", "prefix": None, "id": "support-room", "pin": "4321"}
    assert (rule["allowedNumbers"], rule["dtmf"]) == (["+91*"], True)

    dialog = dialog_of(page, "Edit Support")
    fill(dialog, Name="Sales", PIN="", **{"Allowed callers": ""})
    dialog.get_by_label("Destination").select_option("One room for each participant")
    expect(dialog.get_by_label("Room", exact=True)).to_be_hidden()
    click(dialog, "Save")
    expect(row).to_contain_text("One room for each participant")
    expect(row.locator(".pill")).to_have_count(0)

    confirm(page, "Delete Sales", "Delete rule")
    expect(page.get_by_role("main")).to_contain_text("No rule yet")


def test_list_is_searched_and_paged(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    for n in range(21):
        rule = {"name": f"Desk {n:02}", "type": "outbound", "phoneNumbers": [f"+44207183{n:04}"]}
        assert patchbay.ask("POST", "/v2/sip/routing-rule", rule)[0] == 201
    page.goto("/console/rules")
    expect(page.locator("tbody tr")).to_have_count(20)
    click(page, "Older")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("tbody tr")).to_contain_text("Desk 00")
    page.get_by_label("Search rules").fill("Desk 13")
    expect(page.locator("tbody tr")).to_contain_text("Desk 13")
    expect(page).to_have_url(f"{patchbay.url}/console/rules?search=Desk+13")
    page.get_by_label("Search rules").fill("nobody")
    expect(page.get_by_role("main")).to_contain_text("No rule contains “nobody”.")
    click(page, "Show all")
    click(page, "Older")
    confirm(page, "Delete Desk 00", "Delete rule")
    expect(page.locator("tbody tr")).to_have_count(20)


def test_webhook_is_redelivered_edited_and_deleted(
    patchbay: Patchbay, console_page: Page, receiver: Receiver
) -> None:
    page = console_page
    page.clock.install()
    page.goto("/console/webhooks")
    click(page.get_by_role("main").locator("header"), "New webhook")
    dialog = page.get_by_role("dialog")
    fill(dialog, URL="example.com")
    dialog.get_by_label("All events").uncheck()
    click(dialog, "Create webhook")
    expect(dialog.locator(".fault:not(:empty)")).to_have_text(
        ["URL must be an http or https URL.", "Only these must name an event."]
    )
    fill(dialog, URL=receiver.url)
    dialog.get_by_label("call-started").check()
    click(dialog, "Create webhook")
    page.wait_for_url("**/console/webhooks/wh_*")
    expect(page.get_by_role("main")).to_contain_text("Nothing was sent yet")

    call(patchbay.webhook("twilio", "told-room"))
    log = f"/v2/sip/webhooks/{id_of(page)}/deliveries"
    patchbay.eventually(lambda: patchbay.ask("GET", log)[1]["data"][0]["status"] == "delivered")
    let_page_poll(page)
    row = page.locator("tbody tr")
    expect(row).to_contain_text("HTTP 200")
    expect(row.locator(".pill")).to_have_text("delivered")
    row.get_by_role("button", name="Redeliver").click()
    first, second = receiver.wait_for(2)
    assert first.delivery_id == second.delivery_id

    dialog = dialog_of(page, "Edit")
    expect(dialog.get_by_label("call-hangup")).not_to_be_checked()
    dialog.get_by_label("All events").check()
    click(dialog, "Save")
    expect(page.locator("dl")).to_contain_text("all events")
    confirm(page, "Delete", "Delete webhook")
    page.wait_for_url("**/console/webhooks")
    expect(page.get_by_role("main")).to_contain_text("No webhook yet")


def test_webhook_form_offers_every_event(console_page: Page) -> None:
    console_page.goto("/console/webhooks")
    click(console_page.get_by_role("main").locator("header"), "New webhook")
    boxes = console_page.locator('input[name="events"]')
    offered = boxes.evaluate_all("boxes => boxes.map((box) => box.value)")
    assert set(offered) == set(CallEvent) - set(NEVER)


def test_commands_on_the_page_verify_a_signature(
    patchbay: Patchbay, console_page: Page, receiver: Receiver, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("No openssl is installed: the commands were not tried.")
    page = console_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    body = {"url": receiver.url, "events": ["call-started"]}
    assert patchbay.ask("POST", "/v2/sip/webhooks", body)[0] == 201
    call(patchbay.webhook("twilio", "signed-room"))
    request = receiver.wait_for(1)[0]

    page.goto("/console/webhooks")
    click(page, "Copy the public key")
    key = page.evaluate("navigator.clipboard.readText()")
    (tmp_path / "patchbay.pem").write_text(key)
    (tmp_path / "signature.txt").write_text(request.headers["videosdk-signature"])
    (tmp_path / "body.json").write_bytes(request.body)
    commands = page.locator("pre").first.inner_text()
    result = subprocess.run(commands, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert result.stdout == b"Verified OK\n"


def test_agent_is_created_sent_edited_and_deleted(
    patchbay: Patchbay, console_page: Page, receiver: Receiver
) -> None:
    page = console_page
    page.goto("/console/agents")
    expect(page.get_by_role("main")).to_contain_text("No agent yet")
    click(page.get_by_role("main").locator("header"), "New agent")
    dialog = page.get_by_role("dialog")
    fill(dialog, URL=receiver.url)
    click(dialog, "Create agent")
    expect(dialog.locator(".fault:not(:empty)")).to_have_text("Name must not be empty.")
    fill(dialog, Name="Echo")
    click(dialog, "Create agent")
    expect(page.locator("tbody tr")).to_contain_text(receiver.url)

    receiver.script(503)
    dialog = dialog_of(page, "Send Echo into a room")
    fill(dialog, Room="agent-room", Metadata="no JSON")
    click(dialog, "Send")
    expect(dialog.locator(".fault:not(:empty)")).to_have_text("Metadata must be a JSON object.")
    fill(dialog, Metadata='{"language": "en"}')
    click(dialog, "Send")
    expect(dialog.get_by_role("alert")).to_contain_text("503")
    click(dialog, "Send")
    expect(page.get_by_role("status").filter(has_text="joins agent-room")).to_be_visible()
    assert '"language":"en"' in receiver.bodies[-1]

    dialog = dialog_of(page, "Edit Echo")
    fill(dialog, Name="Echoes")
    click(dialog, "Save")
    expect(page.locator("tbody tr")).to_contain_text("Echoes")
    confirm(page, "Delete Echoes", "Delete agent")
    expect(page.get_by_role("main")).to_contain_text("No agent yet")


def test_dialog_closes_when_its_page_is_left(console_page: Page) -> None:
    console_page.goto("/console/agents")
    console_page.get_by_role("link", name="Rules").click()
    expect(console_page.locator("h1")).to_have_text("Rules")
    click(console_page.get_by_role("main").locator("header"), "New rule")
    console_page.go_back()
    expect(console_page.locator("h1")).to_have_text("Agents")
    expect(console_page.get_by_role("dialog")).to_have_count(0)
