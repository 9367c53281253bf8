"""All repositories of one database, made once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from service.clock import Clock
from service.settings import Settings
from service.storage.agents.agents import Agents
from service.storage.agents.dispatches import Dispatches
from service.storage.calls.calls import Calls
from service.storage.calls.history import History
from service.storage.calls.holds import StoredHolds
from service.storage.calls.in_progress import CallsInProgress
from service.storage.calls.loudness import LoudnessRecords
from service.storage.calls.pins import Pins
from service.storage.calls.provider_requests import ProviderRequests
from service.storage.calls.steering import StoredSteering
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.placement import Placement
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.storage.recordings.file_jobs import FileJobs
from service.storage.recordings.recordings import Recordings
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions
from service.storage.routing_rules import Rules
from service.storage.sign_in_links import SignInLinks
from service.storage.stored_secrets import StoredSecrets
from service.storage.time_bases import TimeBases
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from service.storage.webhooks.signing_keys import SigningKeys
from service.storage.webhooks.subscriptions import Subscriptions
from service.storage.work_leases import WorkLeases


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Thread-safe. A use case is given the repositories that it uses, and not this object."""

    agents: Agents
    calls: Calls
    calls_in_progress: CallsInProgress
    connectors: Connectors
    steering: StoredSteering
    dispatches: Dispatches
    file_jobs: FileJobs
    history: History
    holds: StoredHolds
    loudness: LoudnessRecords
    nodes: Nodes
    outbox: Outbox
    pins: Pins
    provider_requests: ProviderRequests
    receiver_leases: ReceiverLeases
    recordings: Recordings
    rooms: Rooms
    routing_rules: Rules
    secrets: StoredSecrets
    sessions: Sessions
    sign_in_links: SignInLinks
    signing_keys: SigningKeys
    subscriptions: Subscriptions
    time_bases: TimeBases
    work_leases: WorkLeases

    @classmethod
    def of(
        cls,
        database: Database,
        settings: Settings,
        clock: Clock,
        wall: Clock,
        nodes: Nodes,
        placement: Placement,
    ) -> Self:
        """``clock`` measures calls; ``wall`` tells how long a replaced signing key is valid.

        Leases of shared work are claimed in the name of this node.
        """
        secrets = settings.api_secrets
        return cls(
            agents=Agents(database),
            calls=Calls(database, placement),
            calls_in_progress=CallsInProgress(database),
            connectors=Connectors(database, *secrets),
            steering=StoredSteering(database, placement),
            dispatches=Dispatches(database),
            file_jobs=FileJobs(database, nodes.node_id),
            history=History(database),
            holds=StoredHolds(database),
            loudness=LoudnessRecords(database),
            nodes=nodes,
            outbox=Outbox(database),
            pins=Pins(database, placement),
            provider_requests=ProviderRequests(database, nodes.node_id),
            receiver_leases=ReceiverLeases(database, nodes.node_id),
            recordings=Recordings(database),
            rooms=Rooms(database),
            routing_rules=Rules(database, *secrets),
            secrets=StoredSecrets(database, clock, *secrets),
            sessions=Sessions(database),
            sign_in_links=SignInLinks(database),
            signing_keys=SigningKeys(
                database,
                wall,
                settings.api_secret,
                settings.webhook_private_key,
                settings.api_secret_previous,
            ),
            subscriptions=Subscriptions(database),
            time_bases=TimeBases(database),
            work_leases=WorkLeases(database, nodes.node_id),
        )
