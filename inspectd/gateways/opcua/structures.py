"""Results and ids as structures of OPC 40100-1 and OPC 40001-101."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.ua.uatypes import get_type

from inspectd.gateways.opcua.results import ResultState, VisionResult
from inspectd.gateways.parts import Judgement

_VISION: Final = {
    "RecipeIdExternal": 3002, "ProductId": 3003, "PartId": 3004, "ProcessingTimes": 3005, "Result": 3006,
    "ConfigurationId": 3008, "RecipeIdInternal": 3013, "MeasId": 3015, "JobId": 3016, "ResultId": 3021,
}  # fmt: skip
_MACHINERY: Final = {
    "ResultEvaluation": 3002,
    "ProcessingTimes": 3006,
    "ResultMetaData": 3007,
    "Result": 3008,
}

_WITHOUT_FIELDS: Final = {
    "RecipeIdExternalDataType": (3002, 5002),
    "ConfigurationIdDataType": (3008, 5090),
    "RecipeIdInternalDataType": (3013, 5268),
}
"""Structures that add nothing to their base, `BinaryIdBaseDataType`: number and that of their encoding."""
_BINARY_ID: Final = 3019

_SEVERITIES: Final = {Judgement.PASS: 1, Judgement.FAIL: 300, Judgement.UNDECIDABLE: 600}


def register_ids(vision: int) -> None:
    """Give asyncua the structures that add no field to their base.

    It takes them for their base: sends that one's type, and gives a method what a client sends of them as
    bytes.

    Args:
        vision: index of the namespace of OPC 40100-1.
    """
    base = get_type(ua.NodeId(_BINARY_ID, vision))
    for name, (number, encoding) in _WITHOUT_FIELDS.items():
        of_type = ua.NodeId(number, vision)
        made: Any = dataclass(type(name, (base,), {"data_type": of_type, "__module__": base.__module__}))
        ua.register_extension_object(name, ua.NodeId(encoding, vision), made, of_type)


class PlantTypes:
    """The structures of both NodeSets, each by its own number.

    Two of them have the same names in both, and asyncua's `ua.NAME` is the first that was imported: so none
    is taken from there.

    Args:
        vision: index of the namespace of OPC 40100-1 in this server.
        machinery: likewise of OPC 40001-101.
    """

    def __init__(self, vision: int, machinery: int) -> None:
        """The types must have been loaded into the server."""
        self._vision = {name: get_type(ua.NodeId(number, vision)) for name, number in _VISION.items()}
        self._machinery = {
            name: get_type(ua.NodeId(number, machinery)) for name, number in _MACHINERY.items()
        }

    def named(self, kind: str, name: str) -> Any:
        """An id of OPC 40100-1 with nothing but its name: `PartId`, `JobId` and so on."""
        return self._vision[kind](Id=name)

    def recipe(self, name: str, sha256: str | None = None) -> Any:
        """An internal id of a recipe."""
        made = self._vision["RecipeIdInternal"](Id=name)
        if sha256 is not None:
            made.Hash, made.HashAlgorithm = bytes.fromhex(sha256), "SHA-256"
        return made

    def result(self, result: VisionResult) -> Any:
        """A result of OPC 40100-1, whose content is one of OPC 40001-101."""
        made = self._vision["Result"]()
        for name, value in self.event_fields(result).items():
            setattr(made, name, value.Value)
        return made

    def event_fields(self, result: VisionResult) -> dict[str, Any]:
        """What a ResultReady event has beside what every event has, as variants.

        asyncua sends a field of which the NodeSet has no default value as null, unless it is a variant.
        """
        fields = {
            "ResultId": self.named("ResultId", result.result_id),
            "IsPartial": False,
            "IsSimulated": result.is_simulated,
            "ResultState": ua.Variant(int(result.state), ua.VariantType.Int32),
            "MeasId": self.named("MeasId", result.meas_id),
            "PartId": self.named("PartId", result.part_id),
            "ExternalRecipeId": self.named("RecipeIdExternal", result.recipe),
            "InternalRecipeId": self.recipe(result.recipe_version),
            "ProductId": self.named("ProductId", result.product_id),
            "ExternalConfigurationId": self._vision["ConfigurationId"](Id=""),
            "InternalConfigurationId": self._vision["ConfigurationId"](Id=""),
            "JobId": self.named("JobId", result.job_id),
            "CreationTime": utc_time(result.created_utc_ns),
            "ProcessingTimes": _times(self._vision["ProcessingTimes"], result),
            "ResultContent": ua.Variant(
                [ua.Variant(self.machinery_result(result))], ua.VariantType.Variant, is_array=True
            ),
        }
        return {
            name: value if isinstance(value, ua.Variant) else ua.Variant(value)
            for name, value in fields.items()
        }

    def machinery_result(self, result: VisionResult) -> Any:
        """A result of OPC 40001-101: the judgement is here and nowhere else."""
        meta = self._machinery["ResultMetaData"](
            ResultId=result.result_id, HasTransferableDataOnFile=False, IsPartial=False,
            IsSimulated=result.is_simulated, ResultState=int(result.state), StepId=result.meas_id,
            PartId=result.part_id, ExternalRecipeId=result.recipe, InternalRecipeId=result.recipe_version,
            ProductId=result.product_id, JobId=result.job_id, CreationTime=utc_time(result.created_utc_ns),
            ProcessingTimes=_times(self._machinery["ProcessingTimes"], result),
            ResultEvaluation=self._machinery["ResultEvaluation"](int(result.judgement)),
            ResultEvaluationCode=result.reason,
            ResultEvaluationDetails=ua.LocalizedText(result.details, "en"),
        )  # fmt: skip
        values = {
            "Score": result.score, "Threshold": result.threshold, "LatencyMs": result.latency_ms,
            "DeadlineMarginMs": result.margin_ms, "Late": result.is_late,
        }  # fmt: skip
        content = [
            ua.Variant(ua.KeyValuePair(Key=ua.QualifiedName(name, 0), Value=ua.Variant(value)))
            for name, value in values.items()
            if value is not None
        ]
        return self._machinery["Result"](ResultMetaData=meta, ResultContent=content)


def severity(result: VisionResult) -> int:
    """Severity of the event of a result."""
    return _SEVERITIES[result.judgement]


def message(result: VisionResult) -> Any:
    """Text of the event of a result."""
    word = result.judgement.name.lower() if result.state is ResultState.COMPLETED else "aborted"
    return ua.LocalizedText(f"{word}: {result.details}", "en")


def _times(kind: Any, result: VisionResult) -> Any:
    return kind(StartTime=utc_time(result.started_utc_ns), EndTime=utc_time(result.created_utc_ns))


def utc_time(utc_ns: int) -> datetime:
    """A time of the bus; one that no clock shows is the nearest that one does."""
    return datetime.fromtimestamp(min(max(utc_ns, 0), 2**63 - 1) / 1e9, UTC)
