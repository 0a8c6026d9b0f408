"""The NodeSets as asyncua 2.1 can import them. Both are shipped as the OPC Foundation publishes them."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

MACHINE_VISION: Final = "Opc.Ua.MachineVision.NodeSet2.xml"
MACHINERY_RESULT: Final = "Opc.Ua.Machinery_Result.NodeSet2.xml"
IMPORT_ORDER: Final = (MACHINE_VISION, MACHINERY_RESULT)
"""Both have types of the same names: asyncua imports them in this order alone (`KeyError: 'IsPartial'`)."""

MACHINE_VISION_URI: Final = "http://opcfoundation.org/UA/MachineVision"
MACHINERY_RESULT_URI: Final = "http://opcfoundation.org/UA/Machinery/Result/"

_UNDECODABLE: Final = re.compile(
    rb"<Value>(?:(?!</Value>).)*?<(?:\w+:)?ResultMetaData\b.*?</Value>", re.DOTALL
)


def published(name: str) -> bytes:
    """A NodeSet as it is shipped."""
    return resources.files(__package__).joinpath("nodesets", name).read_bytes()


def importable(name: str) -> str:
    """A NodeSet without the default values that asyncua cannot decode (`KeyError: 'TypeId'`).

    OPC 40001-101 has three values of a structure inside a structure; they are examples of a type, and no
    client misses them.
    """
    return _UNDECODABLE.sub(b"", published(name)).decode("utf-8-sig")
