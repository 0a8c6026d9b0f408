"""A program: what a server with the nodes of a line is like inside. asyncua keeps types for a process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from asyncua import ua

from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.certificates import CertificateFolder
from inspectd.gateways.opcua.guarded import GuardedServer
from inspectd.gateways.opcua.nodes import PlantNodes
from inspectd.gateways.opcua.results import VisionResult
from inspectd.gateways.parts import Judgement

RESULT = VisionResult(
    result_id="1:2", job_id="j", judgement=Judgement.FAIL, reason=2, created_utc_ns=2 * 10**18,
    started_utc_ns=10**18, part_id="P", recipe="cells", version=3, score=4.5, threshold=2.0,
)  # fmt: skip


class Nobody:
    """No user: nobody logs in here."""

    def get_user(self, *_: object, **__: object) -> None:
        return None


async def find() -> dict[str, Any]:
    folder = CertificateFolder(Path("nowhere"))
    server = GuardedServer(Nobody(), folder, PlantAudit(), max_connections=1, max_subscriptions=1)
    await server.init()
    nodes = PlantNodes(server, "line")
    types = await nodes.build()
    vision, machinery = types.result(RESULT), types.machinery_result(RESULT)
    found: dict[str, Any] = {
        "types": [
            each.data_type.to_string()
            for each in (vision, machinery, vision.ProcessingTimes, machinery.ResultMetaData.ProcessingTimes)
        ],
        "evaluation": int(machinery.ResultMetaData.ResultEvaluation),
        "sent": {},
        "null": [],
        "states": [],
    }
    for kind in ("RecipeIdExternal", "RecipeIdInternal", "ConfigurationId"):
        made = types.named(kind, "x")
        sent = ua.ua_binary.extensionobject_to_binary(made)
        back = ua.ua_binary.extensionobject_from_binary(ua.utils.Buffer(sent))
        encoding = ua.typeid_by_extension_objects[type(made)].Identifier
        found["sent"][kind] = [made.data_type.Identifier, encoding, type(back) is type(made), back.Id]
    event = nodes._events["result"]
    for name, value in types.event_fields(RESULT).items():
        setattr(event, name, value)
        operand = ua.SimpleAttributeOperand(BrowsePath=[ua.QualifiedName(name, 2)])
        (field,) = event.to_event_fields([operand])
        if field.Value is None or field.VariantType is ua.VariantType.Null:
            found["null"].append(name)
    for machine, automatic in (("Operational", "Ready"), ("Error", "Initialized")):
        await nodes.show_states(machine, automatic)
        for path in ("VisionStateMachine", "VisionStateMachine.AutomaticModeStateMachine"):
            text = (await nodes.node(f"{path}.CurrentState").read_value()).Text
            named = server.get_node(await nodes.node(f"{path}.CurrentState.Id").read_value())
            found["states"].append([text, (await named.read_browse_name()).Name])
    found["root"] = [(await node.read_browse_name()).Name for node in await nodes.node("").get_children()]
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(find())))
