"""EntityProfileService over the read model."""

from datetime import datetime
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from grpc import aio
from market_supervision.lifecycle.v1.state_pb2 import EntityState
from market_supervision.profiles.v1 import entity_profile_service_pb2 as api
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import (
    EntityProfileServiceServicer,
)

from services.contracts.code_tables import CodeTables
from services.contracts.identifiers import parse_key
from services.contracts.key_schemes import KeySchemes
from services.profiles import tokens
from services.profiles.entity_query import (
    FoundEntity,
    find_entities,
    key_of_name,
    source_freshness,
    wait_for_receipt,
)
from services.profiles.profile_view import profile
from services.profiles.read_errors import reading_model
from services.profiles.timeline_log import TimelineLog
from services.profiles.timeline_query import timeline_page
from services.readmodel.pointers import PLACE_BYTES
from services.readmodel.reader import ReadModelReader
from services.runtime.clock import Clock
from services.runtime.errors import EntityNotFoundError, ServiceError, status_of
from services.runtime.validation import validate

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200


class EntityProfileServicer(EntityProfileServiceServicer):
    """Answers about entities; every answer says how fresh it is."""

    def __init__(
        self,
        reader: ReadModelReader,
        log: TimelineLog,
        *,
        schemes: KeySchemes,
        code_tables: CodeTables,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._log = log
        self._schemes = schemes
        self._code_tables = code_tables
        self._clock = clock

    async def GetEntityProfile(
        self,
        request: api.GetEntityProfileRequest,
        context: aio.ServicerContext[api.GetEntityProfileRequest, api.GetEntityProfileResponse],
    ) -> api.GetEntityProfileResponse:
        """Get one profile by any of its keys."""
        validate(request)
        key = key_of_name(request.name, self._schemes)
        with reading_model():
            if request.HasField("at_least_as_fresh_as"):
                await wait_for_receipt(
                    self._reader, request.at_least_as_fresh_as, context.time_remaining()
                )
            (found,) = await find_entities(self._reader, [key])
        return self._answer(request.name, found, request.view)

    async def BatchGetEntityProfiles(
        self,
        request: api.BatchGetEntityProfilesRequest,
        context: aio.ServicerContext[
            api.BatchGetEntityProfilesRequest, api.BatchGetEntityProfilesResponse
        ],
    ) -> api.BatchGetEntityProfilesResponse:
        """Get many profiles, each answered on its own."""
        del context
        validate(request)
        keys: dict[str, str] = {}
        refused: dict[str, Status] = {}
        for name in request.names:
            try:
                keys[name] = key_of_name(name, self._schemes)
            except ServiceError as error:
                refused[name] = status_of(error)
        wanted = list(dict.fromkeys(keys.values()))
        with reading_model():
            found = dict(zip(wanted, await find_entities(self._reader, wanted), strict=True))
        return api.BatchGetEntityProfilesResponse(
            results=[
                api.EntityProfileResult(name=name, status=refused[name])
                if name in refused
                else self._result(name, found[keys[name]], request.view)
                for name in request.names
            ]
        )

    async def ListTimelineEntries(
        self,
        request: api.ListTimelineEntriesRequest,
        context: aio.ServicerContext[
            api.ListTimelineEntriesRequest, api.ListTimelineEntriesResponse
        ],
    ) -> api.ListTimelineEntriesResponse:
        """List the facts of an entity, newest first."""
        del context
        validate(request)
        key = key_of_name(request.parent, self._schemes)
        digest = tokens.request_digest(b"timeline", key.encode())
        before = tokens.decode(request.page_token, digest, PLACE_BYTES)
        with reading_model():
            (found,) = await find_entities(self._reader, [key])
            _known(request.parent, found)
            page = await timeline_page(
                self._reader,
                self._log,
                (found.root_key, *found.linked_keys),
                before=before,
                limit=min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
            )
        response = api.ListTimelineEntriesResponse(
            entries=page.entries,
            freshness=source_freshness(found.readings, _ms(self._clock())),
        )
        if page.last_place is not None:
            response.next_page_token = tokens.encode(digest, page.last_place)
        return response

    def _result(
        self, name: str, found: FoundEntity, view: api.EntityProfileView.ValueType
    ) -> api.EntityProfileResult:
        try:
            return api.EntityProfileResult(name=name, response=self._answer(name, found, view))
        except ServiceError as error:
            return api.EntityProfileResult(name=name, status=status_of(error))

    def _answer(
        self, name: str, found: FoundEntity, view: api.EntityProfileView.ValueType
    ) -> api.GetEntityProfileResponse:
        state = _known(name, found)
        now = self._clock()
        zone = self._schemes.zone(parse_key(found.root_key).scheme)
        answer_time = Timestamp()
        answer_time.FromDatetime(now)
        made = partial(
            profile,
            view=view,
            today=now.astimezone(zone).date(),
            code_labels=self._code_tables.label,
        )
        answer = made(state, root_key=found.root_key, linked_keys=found.linked_keys)
        answer.unmerged_profiles.extend(
            made(other, root_key=key, linked_keys=()) for key, other in found.unmerged.items()
        )
        return api.GetEntityProfileResponse(
            profile=answer,
            answer_time=answer_time,
            freshness=source_freshness(found.readings, _ms(now)),
        )


def _known(name: str, found: FoundEntity) -> EntityState:
    """Return the entity's state; EntityNotFoundError when nothing is known of it.

    The read model answers only while it is complete, so nothing known means nothing there.
    """
    if found.state is None:
        raise EntityNotFoundError(
            f"no entity is known as {name!r}",
            f"未见主体 {name!r} 的任何记录",
            metadata={"name": name[:200]},
        )
    return found.state


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
