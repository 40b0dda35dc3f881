"""msctl profile: the unified profile of an entity (统一主体画像)."""

from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from market_supervision.profiles.v1 import entity_profile_service_pb2 as messages
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import (
    EntityProfileServiceStub,
)

from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import (
    Output,
    OutputOption,
    fail,
    print_record,
    print_records,
    results,
)
from services.cli.profile_view import profile_view
from services.contracts.identifiers import (
    REGNO,
    USCC,
    IdentifierError,
    entity_resource_name,
    parse_key,
)
from services.contracts.key_schemes import load_key_schemes

DEADLINE_SECONDS = 15.0
USCC_CHARACTERS = 18
REGNO_CHARACTERS = 15

app = typer.Typer(no_args_is_help=True, help="Unified profile of an entity. 统一主体画像")


@app.callback()
def profile() -> None:
    """Keep `get` a command of its own although it is the only one."""


def entity_name(key: str) -> str:
    """Return the resource name of a key in any form people write; ends the command if invalid.

    `scheme:value`; 18 characters alone are a unified social credit code, 15 digits a registration
    number.
    """
    text = key.strip().removeprefix("entities/")
    if ":" not in text and len(text) == USCC_CHARACTERS:
        text = f"{USCC}:{text}"
    elif text.isdigit() and len(text) == REGNO_CHARACTERS:
        text = f"{REGNO}:{text}"
    try:
        return entity_resource_name(load_key_schemes().normalise(parse_key(text)))
    except IdentifierError as error:
        fail(f"{error.value}: {error.reason.en} ({error.reason.zh})", ExitCode.USAGE)


@app.command()
def get(
    key: Annotated[
        str, typer.Argument(help="Credit code, or scheme:value. 统一社会信用代码或标识")
    ],
    *,
    full: Annotated[bool, typer.Option("--full", help="Everything known. 完整画像")] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="The facts, newest first. 时间线")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Facts at most. 条数上限")] = 50,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Show the profile of one entity, by any of its keys (查询主体画像)."""
    name = entity_name(key)
    with reported(), grpc.insecure_channel(address("profiles", endpoint)) as channel:
        stub = EntityProfileServiceStub(channel)
        if timeline:
            entries = list(_timeline(stub, name, limit))
            columns = ("eventTime", "label", "matterId", "sourceRecordId", "disposition")
            print_records(entries, columns, output, title=f"{name} (时间线)")
            return
        views = messages.EntityProfileView
        view = views.ENTITY_PROFILE_VIEW_FULL if full else views.ENTITY_PROFILE_VIEW_BASIC
        request = messages.GetEntityProfileRequest(name=name, view=view)
        answer = stub.GetEntityProfile(request, timeout=DEADLINE_SECONDS)
    document = MessageToDict(answer)
    if output is Output.TABLE:
        results.print(profile_view(document))
    else:
        print_record(document, output)


def _timeline(stub: Any, name: str, limit: int) -> Any:
    token = ""
    while limit > 0:
        request = messages.ListTimelineEntriesRequest(
            parent=name, page_size=min(limit, 200), page_token=token
        )
        page = stub.ListTimelineEntries(request, timeout=DEADLINE_SECONDS)
        for entry in page.entries[:limit]:
            document = MessageToDict(entry)
            label = document.get("label", {})
            yield {**document, "label": f"{label.get('zh', '')} {label.get('en', '')}".strip()}
        limit -= len(page.entries)
        token = page.next_page_token
        if not token:
            return
